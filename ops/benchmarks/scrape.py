"""`scrape`: how long a scrape of a busy worker takes, and whether it delays audio."""

import http.client
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from ops.benchmarks import report
from ops.benchmarks.figures import Row, percentile
from ops.benchmarks.fleet import installation, patience, speech, until_open
from ops.benchmarks.meter import Reading, cores
from ops.benchmarks.native.server import LoadServer

PLAIN = "text/plain;version=0.0.4"
#: The requested format in each phase. The phases without scrapes show whether the machine itself changes.
PHASES = {
    "quiet before": None,
    "plain": PLAIN,
    "OpenMetrics": "application/openmetrics-text;version=1.0.0",
    "quiet after": None,
}
_SCRAPES = 20
_SETTLE = 3.0
_TIMEOUT = 30.0
#: The fractions of its multiples fill a second evenly, so that scrapes do not coincide with periodic work.
_SPREAD = 0.618034
_COLUMNS = {
    "scrapes": "scrapes",
    "ms_p50": "scrape p50 ms",
    "ms_p99": "p99",
    "ms_max": "max",
    "bytes": "bytes",
    "late_p50": "late p50 ms",
    "late_p99": "p99",
    "late_p999": "p99.9",
    "late_max": "max",
    "core": "core",
    "failed": "failed",
    "server_core": "server's core",
}


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape.

    Attributes:
        ms: Milliseconds from before the connection is opened to the last byte.
        size: Size of the answer in bytes.
    """

    ms: float
    size: int


@click.command()
@click.option("--streams", "count", default=4000, show_default=True)
@click.option("--quick", is_flag=True, help="500 streams.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
def scrape(count: int, quick: bool, file: Path | None) -> None:
    """Scrape a worker with many streams once a second, and measure how late audio is sent."""
    if quick:
        count = 500
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="corti-bench-") as folder,
        LoadServer(core=cores()[0]) as server,
        installation("redis", server.settings, Path(folder)) as made,
        report.progress("scrape", 1 + len(PHASES)) as begin,
    ):
        # 10 s more than needed: a reading takes time, and the first stream begins before the last job is put.
        seconds = patience(count) + len(PHASES) * (_SETTLE + _SCRAPES + 5) + 10
        audio = speech(Path(folder) / "audio.wav", seconds)
        process = made.start_worker(slots=count + 1000)
        try:
            port = process.ready().health_port()
            assert port is not None  # noqa: S101  # a worker that is ready has logged its port
            begin(f"{count:,} streams start")
            made.put(audio, count)
            until_open(server, count)
            for phase, accept in PHASES.items():
                begin(phase)
                time.sleep(_SETTLE)
                rows.append({"phase": phase, **_measured(server, process.pid, port, accept)})
        finally:
            process.kill()
            process.close()
    caption = f"Each phase is {_SCRAPES} s long, with a scrape in each second or without scrapes."
    report.show(report.table("Scrapes of a busy worker", rows, ["phase", "streams"], _COLUMNS, caption))
    if file:
        report.write_json(file, "scrape", rows)


def moments(count: int) -> list[float]:
    """Return a moment in each of `count` seconds, at a different place within each second."""
    return [number + number * _SPREAD % 1 for number in range(count)]


def summary(scrapes: list[Scrape]) -> Row:
    """Return the figures of a phase's scrapes; an empty row without scrapes."""
    if not scrapes:
        return {}
    took = [scrape.ms for scrape in scrapes]
    return {
        "scrapes": len(scrapes),
        "ms_p50": percentile(took, 0.5),
        "ms_p99": percentile(took, 0.99),
        "ms_max": max(took),
        "bytes": max(scrape.size for scrape in scrapes),
        "ms": took,
    }


def read(port: int, accept: str) -> Scrape:
    """Read the metrics once, in the format of `accept`.

    Raises:
        click.ClickException: The status is not 200, or the format is another.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    began = time.monotonic()
    try:
        connection.request("GET", "/metrics", headers={"Accept": accept})
        answer = connection.getresponse()
        body = answer.read()
        took = time.monotonic() - began
    finally:
        connection.close()
    kind = answer.headers.get_content_type()
    if answer.status != http.client.OK or kind != accept.partition(";")[0]:
        raise click.ClickException(f"/metrics answered {answer.status} with {kind}")
    return Scrape(took * 1000, len(body))


def _measured(server: LoadServer, pid: int, port: int, accept: str | None) -> Row:
    """Measure one phase."""
    server.reset()
    server_before, before = server.stats()["cpu_seconds"], Reading.of(pid)
    scrapes = []
    for moment in moments(_SCRAPES) if accept else ():
        time.sleep(max(0.0, before.at + moment - time.monotonic()))
        scrapes.append(read(port, accept or ""))
    time.sleep(max(0.0, before.at + _SCRAPES - time.monotonic()))
    after, stats = Reading.of(pid), server.stats()
    seconds = after.at - before.at
    return {
        "streams": stats["open"],
        **summary(scrapes),
        **{f"late_{name}": stats["lateness"][name] for name in ("p50", "p99", "p999", "max")},
        "core": (after.cpu - before.cpu) / seconds,
        "failed": stats["failed"],
        "server_core": (stats["cpu_seconds"] - server_before) / seconds,
    }
