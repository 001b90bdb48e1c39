"""`telemetry`: what metrics, logs and the audit trail add to what a stream costs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from ops.benchmarks import report
from ops.benchmarks.figures import Row, ratios
from ops.benchmarks.native.build import build
from ops.benchmarks.scrape import PLAIN, read
from ops.benchmarks.streams import Load, measured, whole_worker
from ops.lib.worker_process import WorkerProcess

WORKER, WITHOUT = "worker", "without telemetry"
#: The worker once more: its ratio to itself is what the machine's noise alone makes.
AGAIN = "worker again"
_SUBJECTS = (WORKER, WITHOUT, AGAIN)
#: Seconds between two scrapes of the worker that can be scraped: those of the chart's monitors.
SCRAPE_EVERY = 15.0
_MODULE = "ops.benchmarks.subjects.without_telemetry"
_COLUMNS = {
    "cpu_us": "CPU µs / stream s",
    "lateness_p50": "late p50 ms",
    "lateness_p99": "late p99 ms",
    "lateness_max": "late max ms",
    "delivered": "audio sent",
    "up": "all up s",
    "failed": "failed",
    "server_cpu": "server's core",
}


@click.command()
@click.option("--streams", "count", default=1000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=SCRAPE_EVERY, show_default=True, help="Of each measurement.")
@click.option("--quick", is_flag=True, help="500 streams, once.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
def telemetry(count: int, rounds: int, seconds: float, quick: bool, file: Path | None) -> None:
    """Measure the worker by turns with itself without telemetry, over TLS, on one core."""
    if quick:
        count, rounds = 500, 1
    build("loadserver")
    as_it_is = whole_worker(beside=scraped)
    starts = {WORKER: as_it_is, WITHOUT: whole_worker(_MODULE), AGAIN: as_it_is}
    rows: list[Row] = []
    with report.progress("telemetry", rounds * len(starts)) as begin:
        for number, name in turns(rounds):
            begin(f"{name}, {count:,}")
            rows.append(
                {"subject": name, "round": number, **measured(name, starts[name], Load(count, seconds))}
            )
    lines = [
        {"streams": streams, "comparison": f"{WORKER} / {other}", **asdict(ratio)}
        for other in (WITHOUT, AGAIN)
        for (streams,), ratio in ratios(rows, "cpu_us", WORKER, other).items()
    ]
    caption = f"The worker is scraped every {SCRAPE_EVERY:g} s."
    compared = {"median": "CPU", "least": "least", "most": "most"}
    noise = "How far the worker is from itself is how little can be told from the other ratio."
    report.show(
        report.table("What telemetry costs", rows, ["streams", "subject"], _COLUMNS, caption),
        report.table("Compared, within each round", lines, ["comparison", "streams"], compared, noise),
    )
    if file:
        report.write_json(file, "telemetry", rows, seconds=seconds, ratios=lines)


def turns(rounds: int) -> list[tuple[int, str]]:
    """Rounds, and who is measured in them; in each another comes first, because a machine's pace drifts."""
    count = len(_SUBJECTS)
    return [
        (number, _SUBJECTS[(number + place) % count]) for number in range(rounds) for place in range(count)
    ]


@contextmanager
def scraped(process: WorkerProcess, every: float = SCRAPE_EVERY) -> Iterator[None]:
    """Scrape a worker now and then, as Prometheus does: what that costs is part of what metrics cost."""
    port = process.health_port()
    assert port is not None  # noqa: S101  # it is ready, so it has said where
    done = threading.Event()

    def run() -> None:
        while not done.wait(every):
            read(port, PLAIN)

    thread = threading.Thread(target=run, name="scraper")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
