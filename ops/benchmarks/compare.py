"""`streams`: measures the worker and its alternatives in turns, with different numbers of streams."""

from pathlib import Path

import click
from rich.table import Table

from ops.benchmarks import report
from ops.benchmarks.figures import Row, most_within, ratios, slope
from ops.benchmarks.native.build import build
from ops.benchmarks.plots import streams_plot
from ops.benchmarks.streams import Load, alternative, measured, whole_worker
from ops.benchmarks.subjects import SUBJECTS
from ops.benchmarks.subjects.prepare import prepare_node

WORKER = "worker"
_ON_NODE = frozenset({"corti_sdk", "ws_node"})
_COLUMNS = {
    "cpu_us": "CPU µs / stream s",
    "rss_kb": "RSS kB / stream",
    "lateness_p50": "late p50 ms",
    "lateness_p99": "late p99 ms",
    "lateness_max": "late max ms",
    "delivered": "audio sent",
    "up": "all up s",
    "failed": "failed",
    "server_cpu": "server's core",
}


@click.command()
@click.option("--streams", "numbers", default="1,100,500,1000,2000,4000", show_default=True)
@click.option("--subjects", default="all", show_default=True, help="Names, separated by commas.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=15.0, show_default=True, help="Length of each measurement.")
@click.option("--quick", is_flag=True, help="1 and 1,000 streams of worker, corti_sdk and floor, once.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw figures into a PNG file.")
def streams(
    numbers: str,
    subjects: str,
    rounds: int,
    seconds: float,
    quick: bool,
    file: Path | None,
    plot: Path | None,
) -> None:
    """Measure what concurrent streams cost, over TLS, on one core."""
    counts = sorted({int(number) for number in numbers.split(",")})
    chosen = [WORKER, *SUBJECTS] if subjects == "all" else subjects.split(",")
    if quick:
        counts, rounds, seconds = [1, 1000], 1, 6.0
        chosen = [WORKER, "corti_sdk", "floor"]
    unknown = set(chosen) - {WORKER, *SUBJECTS}
    if unknown:
        raise click.BadParameter(
            f"unknown: {', '.join(sorted(unknown))}; known: {WORKER}, {', '.join(SUBJECTS)}"
        )
    for program in ("loadserver", "floor"):
        build(program)
    if _ON_NODE & set(chosen):
        prepare_node()
    # Each round measures every subject, so that other load on the machine affects all of them alike.
    turns = [
        (number, count, name)
        for number in range(rounds)
        for count in counts
        for name in chosen
        if name == WORKER or count <= SUBJECTS[name].max_streams
    ]
    rows: list[Row] = []
    with report.progress("streams", len(turns)) as begin:
        for number, count, name in turns:
            begin(f"{name}, {count:,}")
            start = whole_worker() if name == WORKER else alternative(name)
            row = measured(name, start, Load(count, seconds))
            rows.append({"subject": name, "round": number, **row})
    _add_slopes(rows)
    report.show(report.table("What streams cost", rows, ["streams", "subject"], _COLUMNS), *_summary(rows))
    if file:
        report.write_json(file, "streams", rows, seconds=seconds, chunk_ms=250, bytes_per_second=32_000)
    if plot:
        streams_plot([row for row in rows if row.get("cpu_us")], plot)
        report.console.print(f"plot: {plot}")


def _add_slopes(rows: list[Row]) -> None:
    """Add `rss_kb`, the memory per stream, compared with the smallest number of streams of the same round."""
    for row in rows:
        alike = [
            r for r in rows if (r["subject"], r["round"]) == (row["subject"], row["round"]) and r.get("rss")
        ]
        least = min(alike, key=lambda r: r["streams"], default=None)
        if least and row.get("rss") and row["streams"] > least["streams"]:
            grown = slope([(least["streams"], least["rss"]), (row["streams"], row["rss"])])
            row["rss_kb"] = None if grown is None else grown / 1000


def _summary(rows: list[Row]) -> list[Table]:
    """Return a table of ratios of the worker to each alternative, and of the most streams of each subject."""
    lines = []
    for other in sorted({row["subject"] for row in rows} - {WORKER}):
        for (count,), ratio in ratios(rows, "cpu_us", WORKER, other).items():
            if count > 1:
                lines.append(
                    {"comparison": f"CPU: worker / {other}", "streams": count, "ratio": ratio.median}
                )
    for subject in dict.fromkeys(row["subject"] for row in rows):
        mine = [row for row in rows if row["subject"] == subject]
        most = most_within(mine, "lateness_p99", 100.0)
        lines.append(
            {"comparison": f"most streams with p99 under 100 ms: {subject}", "streams": most, "ratio": None}
        )
    return [report.table("Compared, within each round", lines, ["comparison", "streams"], {"ratio": "ratio"})]
