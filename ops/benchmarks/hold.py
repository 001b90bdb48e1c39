"""`hold`: measures whether memory grows under a constant load over a long time."""

import json
import tempfile
import time
from pathlib import Path

import click

from ops.benchmarks import report
from ops.benchmarks.figures import Row, growth
from ops.benchmarks.fleet import FINAL, Installation, installation, speech
from ops.benchmarks.meter import Reading, cores
from ops.benchmarks.native.server import LoadServer
from ops.lib import queues

#: Seconds between two readings.
_STEP = 10.0
#: Seconds at the start that do not count, because caches and pools fill; of a short run, a third.
_START = 300.0
_COLUMNS = {
    "rss_mb": "RSS MB",
    "threads": "threads",
    "streams": "streams",
    "core": "core",
    "late_p99": "late p99 ms",
    "failed": "failed",
    "results": "results",
}
_GROWTH = {
    "minutes": "minutes",
    "first": "first MB",
    "last": "last MB",
    "per_hour": "MB per hour",
    "per_thousand": "MB per 1,000 jobs",
}


@click.command()
@click.option("--streams", "count", default=500, show_default=True, help="Concurrent streams.")
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--job-seconds", default=60.0, show_default=True, help="Length of each job's audio.")
@click.option("--quick", is_flag=True, help="100 streams of 10 s for a minute.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
def hold(count: int, minutes: float, job_seconds: float, quick: bool, file: Path | None) -> None:
    """Keep all slots of a worker busy with short jobs, and measure its memory, lateness and results."""
    if quick:
        count, minutes, job_seconds = 100, 1.0, 10.0
    rows: list[Row] = []
    steps = max(1, round(minutes * 60 / _STEP))
    with (
        tempfile.TemporaryDirectory(prefix="corti-bench-") as folder,
        LoadServer(core=cores()[0]) as server,
        installation("redis", server.settings, Path(folder)) as made,
        report.progress("hold", steps) as begin,
    ):
        audio = speech(Path(folder) / "audio.wav", job_seconds)
        process = made.start_worker(slots=count)
        try:
            process.ready()
            # A few jobs more than slots, so that no slot stays empty.
            made.put(audio, count + max(1, count // 10))
            completed, given_up = 0, 0
            before, began = Reading.of(process.pid), time.monotonic()
            for step in range(1, steps + 1):
                begin(f"{completed:,} results")
                server.reset()
                good, bad = _replaced(made, audio, began + step * _STEP)
                completed, given_up = completed + good, given_up + bad
                after, stats = Reading.of(process.pid), server.stats()
                rows.append(
                    {
                        "minute": int((step - 1) * _STEP // 60) + 1,
                        "seconds": after.at - began,
                        "rss_mb": after.rss / 1e6,
                        "threads": after.threads,
                        "streams": stats["open"],
                        "core": (after.cpu - before.cpu) / (after.at - before.at),
                        "late_p99": stats["lateness"]["p99"],
                        "failed": stats["failed"] + bad,
                        "results": completed,
                    }
                )
                before = after
        finally:
            process.kill()
            process.close()
    found = growth(rows, "rss_mb", min(_START, minutes * 20))
    tables = [report.table(f"{count:,} streams held", rows, ["minute"], _COLUMNS)]
    if found:
        caption = "Growth by least squares, without the start. A short run says little about an hour."
        tables.append(report.table("Memory", [{"of": "RSS", **found}], ["of"], _GROWTH, caption))
    report.show(*tables)
    if file:
        more = {"streams": count, "job_seconds": job_seconds, "growth": found, "given_up": given_up}
        report.write_json(file, "hold", rows, **more)


def _replaced(made: Installation, audio: Path, until: float) -> tuple[int, int]:
    """Put a new job for each that ends, until a time; return how many completed and how many failed."""
    ended = dict.fromkeys(FINAL, 0)
    while (left := until - time.monotonic()) > 0:
        # For Redis a time-out of 0 means for ever, and its client stops waiting for an answer after 5 s.
        body = made.box.take(queues.RESULTS, min(max(left, 0.01), 1.0))
        kind = json.loads(body)["type"] if body else None
        if kind in ended:
            ended[kind] += 1
            made.put(audio, 1)
    completed, given_up = (ended[kind] for kind in FINAL)
    return completed, given_up
