"""`hold`: the same load for a long time; memory must not grow."""

import tempfile
import time
from pathlib import Path

import click

from ops.benchmarks import report
from ops.benchmarks.figures import slope
from ops.benchmarks.fleet import installation, speech
from ops.benchmarks.meter import Reading, cores
from ops.benchmarks.native.server import LoadServer


@click.command()
@click.option("--streams", "count", default=500, show_default=True, help="At any moment.")
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--job-seconds", default=60.0, show_default=True, help="Audio of each job; a new one follows.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
def hold(count: int, minutes: float, job_seconds: float, file: Path | None) -> None:
    """Keep a worker full of short jobs and watch its memory, lateness and results."""
    rows = []
    sent, ended = 0, 0
    with (
        tempfile.TemporaryDirectory(prefix="corti-bench-") as folder,
        LoadServer(core=cores()[0]) as server,
        installation("redis", server.settings, Path(folder)) as made,
        report.progress("hold", int(minutes * 6)) as begin,
    ):
        audio = speech(Path(folder) / "audio.wav", job_seconds)
        process = made.start_worker(slots=count)
        try:
            process.ready()
            # A new job for each that ended, and some that wait, so that no slot stays empty.
            sent += len(made.put(audio, count + count // 10))
            began = time.monotonic()
            for _ in range(int(minutes * 6)):
                begin(f"{ended:,} results")
                server.reset()
                until = time.monotonic() + 10
                while time.monotonic() < until:
                    done = made.box.take("corti.results", 0.5)
                    if done and b"corti.job.completed.v1" in done:
                        ended += 1
                        sent += len(made.put(audio, 1))
                reading, stats = Reading.of(process.pid), server.stats()
                rows.append(
                    {
                        "minute": int((reading.at - began) // 60),
                        "rss_mb": reading.rss / 1e6,
                        "threads": reading.threads,
                        "streams": stats["open"],
                        "late_p99": stats["lateness"]["p99"],
                        "failed": stats["failed"],
                        "results": ended,
                    }
                )
        finally:
            process.kill()
            process.close()
    columns = {
        "rss_mb": "RSS MB",
        "threads": "threads",
        "streams": "streams",
        "late_p99": "late p99 ms",
        "failed": "failed",
        "results": "results",
    }
    report.show(report.table(f"{count:,} streams held", rows, ["minute"], columns))
    # The first minutes fill caches and pools.
    later = [(row["minute"], row["rss_mb"]) for row in rows if row["minute"] >= min(5, minutes / 3)]
    growth = slope(later)
    if growth is not None:
        report.console.print(f"memory grew by {growth:.2f} MB a minute after the start")
    if file:
        report.write_json(file, "hold", rows, streams=count, job_seconds=job_seconds)
