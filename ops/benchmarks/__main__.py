"""`ops/bench`: every benchmark is a command of its own."""

import click

from ops.benchmarks.burst import burst
from ops.benchmarks.compare import streams
from ops.benchmarks.hold import hold
from ops.benchmarks.jobs import jobs
from ops.benchmarks.takeover import takeover
from ops.benchmarks.tokens import tokens


@click.group()
def main() -> None:
    """Measure the worker beside what people would use instead; each command prints a table."""


for command in (streams, burst, hold, jobs, tokens, takeover):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="ops/bench")
