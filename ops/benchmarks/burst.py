"""`burst`: how late the audio of running streams becomes when many jobs start at once."""

import tempfile
import time
from pathlib import Path

import click

from ops.benchmarks import report
from ops.benchmarks.fleet import installation, patience, speech, until_open
from ops.benchmarks.meter import Reading, cores
from ops.benchmarks.native.server import LoadServer


@click.command()
@click.option("--streams", "count", default=2000, show_default=True, help="Number of running streams.")
@click.option("--jobs", "more", default=500, show_default=True, help="Number of jobs that are put at once.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
def burst(count: int, more: int, file: Path | None) -> None:
    """Start many jobs at once while streams run, and measure how late audio is sent meanwhile."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="corti-bench-") as folder,
        LoadServer(core=cores()[0]) as server,
        installation("redis", server.settings, Path(folder)) as made,
        report.progress("burst", 3) as begin,
    ):
        # The running streams must not end before all streams of the burst are open.
        audio = speech(Path(folder) / "audio.wav", patience(count) + patience(count + more) + 60)
        process = made.start_worker(slots=count + more + 1000)
        try:
            process.ready()
            begin(f"{count:,} streams")
            made.put(audio, count)
            until_open(server, count)
            for phase, jobs in (("quiet", 0), ("burst", more)):
                begin(phase)
                time.sleep(3)
                server.reset()
                before, began = Reading.of(process.pid), time.monotonic()
                if jobs:
                    made.put(audio, jobs)
                    until_open(server, count + jobs)
                took = time.monotonic() - began
                time.sleep(max(0.0, 10.0 - took))
                after, stats = Reading.of(process.pid), server.stats()
                rows.append(
                    {
                        "phase": phase,
                        "streams": stats["open"],
                        "jobs": jobs,
                        "up": took if jobs else None,
                        "core": (after.cpu - before.cpu) / (after.at - before.at),
                        **{f"late_{name}": stats["lateness"][name] for name in ("p50", "p99", "max")},
                        "failed": stats["failed"],
                    }
                )
        finally:
            process.kill()
            process.close()
    columns = {
        "jobs": "jobs put",
        "up": "all up s",
        "core": "core",
        "late_p50": "late p50 ms",
        "late_p99": "late p99 ms",
        "late_max": "late max ms",
        "failed": "failed",
    }
    report.show(report.table("Jobs that start beside running streams", rows, ["phase", "streams"], columns))
    if file:
        report.write_json(file, "burst", rows)
