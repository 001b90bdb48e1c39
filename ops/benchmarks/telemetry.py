"""`telemetry`: what metrics, logs and the audit trail add to the cost of a stream."""

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
#: The worker a second time. Its ratio to the first shows the noise of the measurement.
AGAIN = "worker again"
_SUBJECTS = (WORKER, WITHOUT, AGAIN)
#: Seconds between two scrapes of the worker with telemetry, as in the chart's monitors.
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
@click.option("--seconds", default=SCRAPE_EVERY, show_default=True, help="Length of each measurement.")
@click.option("--quick", is_flag=True, help="500 streams, once.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
def telemetry(count: int, rounds: int, seconds: float, quick: bool, file: Path | None) -> None:
    """Measure in turns the worker with and without telemetry, over TLS, on one core."""
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
    noise = "The ratio of the worker to itself is the noise of the measurement."
    report.show(
        report.table("What telemetry costs", rows, ["streams", "subject"], _COLUMNS, caption),
        report.table("Compared, within each round", lines, ["comparison", "streams"], compared, noise),
    )
    if file:
        report.write_json(file, "telemetry", rows, seconds=seconds, ratios=lines)


def turns(rounds: int) -> list[tuple[int, str]]:
    """Return (round, subject) pairs. Each round begins with another subject, as a machine's speed drifts."""
    count = len(_SUBJECTS)
    return [
        (number, _SUBJECTS[(number + place) % count]) for number in range(rounds) for place in range(count)
    ]


@contextmanager
def scraped(process: WorkerProcess, every: float = SCRAPE_EVERY) -> Iterator[None]:
    """Scrape a worker every `every` seconds, as Prometheus does: scrapes are part of the cost of metrics."""
    port = process.health_port()
    assert port is not None  # noqa: S101  # a worker that is ready has logged its port
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
