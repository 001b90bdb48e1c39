"""Plots for the README: cost and lateness by number of streams, with a line for each subject."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops.benchmarks.figures import Row, figure, grouped

_SIZE = (11.0, 4.6)
_DPI = 144
_WORKER = "#0b6bcb"
#: Less prominent than the worker's colour. Markers distinguish the lines for people without colour vision.
_OTHERS = ("#d1495b", "#6b8f3c", "#8d5a97", "#c77d18", "#3c8d8d", "#7a6a5d", "#9a9a9a", "#444444")
_MARKERS = "sv^DPXdh"
_PANELS = (
    ("cpu_us", "CPU per stream", "µs of CPU per second of stream", 0.0),
    ("lateness_p99", "Lateness of audio, 99th percentile", "ms", 100.0),
)
#: Labels closer than this, as a share of a panel's height, are moved apart.
_GAP = 0.052


def streams_plot(rows: Sequence[Row], path: Path, worker: str = "worker") -> Path:
    """Draw both panels into a PNG file.

    Args:
        rows: Measurements with `subject`, `streams`, `cpu_us` and `lateness_p99`.
        path: The file to write.
        worker: The subject that is drawn in front of the others.

    Returns:
        `path`.
    """
    import matplotlib as mpl  # noqa: PLC0415  # its import takes a second, and only this function needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    drawn, axes = plt.subplots(1, len(_PANELS), figsize=_SIZE, facecolor="white")
    try:
        for panel, (column, title, unit, limit) in zip(axes, _PANELS, strict=True):
            _draw(panel, rows, column, worker)
            _dress(panel, rows, title, unit, limit)
        drawn.tight_layout(w_pad=3.0)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path, dpi=_DPI, facecolor="white")
    finally:
        plt.close(drawn)
    return path


def _draw(panel: Any, rows: Sequence[Row], column: str, worker: str) -> None:
    """Draw the lines of one panel, each with its name at the right end."""
    subjects = [subject for (subject,) in grouped(rows, ["subject"])]
    others = [subject for subject in subjects if subject != worker]
    ends = []
    panel.set_xscale("log")
    panel.set_yscale("log")
    for subject in subjects:
        mine = subject == worker
        number = 0 if mine else others.index(subject)
        colour = _WORKER if mine else _OTHERS[number % len(_OTHERS)]
        found = {
            streams: figure(group, column)
            for (streams,), group in grouped(
                [r for r in rows if r["subject"] == subject], ["streams"]
            ).items()
        }
        # The axes are logarithmic, and lateness may be 0 within the precision of the server's clock.
        points = [(x, max(y.median, 0.01)) for x, y in sorted(found.items()) if y is not None]
        if not points:
            continue
        panel.plot(
            *zip(*points, strict=True),
            color=colour,
            marker="o" if mine else _MARKERS[number % len(_MARKERS)],
            markersize=5 if mine else 4,
            linewidth=2.4 if mine else 1.2,
            zorder=3 if mine else 2,
        )
        ends.append((points[-1], subject, colour, mine))
    _label(panel, ends)


def _label(panel: Any, ends: list[tuple[tuple[float, float], str, str, bool]]) -> None:
    """Write the names right of the panel, each near the end of its line, without overlaps."""
    panel.autoscale_view()
    to_panel = panel.transLimits.transform
    scaled = panel.transScale.transform
    placed: list[tuple[float, str, str, bool]] = []
    for point, subject, colour, mine in ends:
        placed.append((float(to_panel(scaled(point))[1]), subject, colour, mine))
    heights = spread([height for height, *_ in placed], _GAP)
    for height, (_, subject, colour, mine) in zip(heights, placed, strict=True):
        panel.text(
            1.02,
            height,
            subject,
            color=colour,
            transform=panel.transAxes,
            va="center",
            fontsize=9,
            fontweight="bold" if mine else "normal",
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Return the heights (0..1) moved apart: any two differ by `gap` or more, in the same order, up to 1."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    moved = [0.0] * len(heights)
    last = float("-inf")
    for index in order:
        last = moved[index] = max(heights[index], last + gap)
    above = 1.0 + gap
    for index in reversed(order):
        above = moved[index] = min(moved[index], above - gap)
    return moved


def _dress(panel: Any, rows: Sequence[Row], title: str, unit: str, limit: float) -> None:
    panel.set_title(title, loc="left", fontsize=11, fontweight="bold")
    panel.set_xlabel("streams on one core")
    panel.set_ylabel(unit)
    numbers = sorted({row["streams"] for row in rows})
    panel.set_xticks(numbers, [f"{number:,}" for number in numbers], rotation=30, fontsize=8)
    panel.xaxis.minorticks_off()
    from matplotlib.ticker import FuncFormatter, LogLocator  # noqa: PLC0415

    panel.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    panel.yaxis.minorticks_off()
    if limit:
        panel.axhline(limit, color="#999999", linewidth=0.8, linestyle=":", zorder=1)
        panel.text(
            0.01, limit, f"{limit:g} {unit}", transform=panel.get_yaxis_transform(), fontsize=8, va="bottom"
        )
    panel.grid(visible=True, which="major", color="#e6e6e6", linewidth=0.6)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
