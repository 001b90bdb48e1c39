"""`ops/bench`: the command line, with a command for each benchmark."""

import sys

import click

from ops.benchmarks.burst import burst
from ops.benchmarks.compare import streams
from ops.benchmarks.convert import convert
from ops.benchmarks.hold import hold
from ops.benchmarks.jobs import jobs
from ops.benchmarks.scrape import scrape
from ops.benchmarks.takeover import takeover
from ops.benchmarks.telemetry import telemetry
from ops.benchmarks.tokens import tokens
from ops.lib import ending


@click.group()
def main() -> None:
    """Measure the worker and compare it with alternatives. Each command prints a table."""


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def scale(arguments: tuple[str, ...]) -> None:
    """Simulate how KEDA scales workers on a day of consultations, with the chart's values."""
    from ops.benchmarks import scale as simulation  # noqa: PLC0415  # needs the packages of the group `chart`

    sys.exit(simulation.main(arguments))


for command in (streams, burst, convert, hold, scrape, telemetry, jobs, tokens, takeover):
    main.add_command(command)

if __name__ == "__main__":
    ending.catch_signals()
    main(prog_name="ops/bench")
