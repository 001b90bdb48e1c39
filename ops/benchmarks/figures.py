"""Computes figures from rows of measurements: medians with their ranges, ratios, slopes. No I/O."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

#: One measurement: what was measured (`subject`, `streams`, ...), in which `round`, and the measured numbers.
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that was measured several times: its median, minimum and maximum."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Return the figure of `values`, of which there must be at least one."""
        seen = list(values)
        return cls(statistics.median(seen), min(seen), max(seen))

    def __str__(self) -> str:
        middle, least, most = (_short(value) for value in (self.median, self.least, self.most))
        return middle if least == most else f"{middle} [{least}-{most}]"


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least `share` (0..1) of all values do not exceed.

    Raises:
        ValueError: There are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values: nothing was measured")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def grouped(rows: Iterable[Row], by: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """Return the rows grouped by the values of the columns `by`, in order of first occurrence."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in by), []).append(row)
    return groups


def figure(rows: Iterable[Row], column: str) -> Figure | None:
    """Return the figure of a column over several rows, or None if no row has the column."""
    values = [row[column] for row in rows if row.get(column) is not None]
    return Figure.of(values) if values else None


def ratios(
    rows: Iterable[Row], column: str, numerator: str, denominator: str, by: Sequence[str] = ("streams",)
) -> dict[tuple[Any, ...], Figure]:
    """Compare two subjects: compute a ratio for each round, then the median of these ratios.

    Both sides of a ratio come from the same round, minutes apart. Other load on the machine changes from
    round to round, and would distort the ratio of two medians.

    Args:
        rows: Measurements with `subject` and `round`.
        column: The column to compare.
        numerator: The subject whose values are divided.
        denominator: The subject whose values divide.
        by: Columns that must be equal on both sides.

    Returns:
        Figures by the values of `by`, if both subjects have rows with these values.
    """
    pairs: dict[tuple[Any, ...], list[float]] = {}
    for key, group in grouped(rows, [*by, "round"]).items():
        upper = [row[column] for row in group if row["subject"] == numerator and row.get(column) is not None]
        lower = [row[column] for row in group if row["subject"] == denominator and row.get(column)]
        if upper and lower:
            ratio = statistics.median(upper) / statistics.median(lower)
            pairs.setdefault(key[:-1], []).append(ratio)
    return {key: Figure.of(values) for key, values in pairs.items()}


def slope(points: Iterable[tuple[float, float]]) -> float | None:
    """Return the growth of y per x by least squares, such as bytes per stream; None for less than two x."""
    seen = list(points)
    if len({x for x, _ in seen}) < 2:  # noqa: PLR2004
        return None
    return statistics.linear_regression([x for x, _ in seen], [y for _, y in seen]).slope


def growth(rows: Iterable[Row], column: str, after: float) -> Row | None:
    """Compute how a column grew over the rows of one run, without its start.

    Args:
        rows: Rows in the order of their `seconds`, each with the number of `results` so far.
        column: The column, for instance memory.
        after: Length of the start in seconds, in which caches and pools fill.

    Returns:
        The length of the rest in `minutes`; the column's value in the `first` and the `last` row of it; the
        growth `per_hour` and `per_thousand` results, by least squares. None with fewer than two rows.
    """
    seen = [row for row in rows if row["seconds"] >= after]
    hourly = slope((row["seconds"] / 3600, row[column]) for row in seen)
    if hourly is None:
        return None
    return {
        "minutes": (seen[-1]["seconds"] - seen[0]["seconds"]) / 60,
        "first": seen[0][column],
        "last": seen[-1][column],
        "per_hour": hourly,
        "per_thousand": slope((row["results"] / 1000, row[column]) for row in seen),
    }


def most_within(rows: Iterable[Row], column: str, limit: float) -> int | None:
    """Return the highest number of streams up to which the column's median is in `limit` and none failed."""
    best = None
    for (streams,), group in sorted(grouped(rows, ["streams"]).items()):
        found = figure(group, column)
        if found is None or found.median > limit or any(row.get("failed") for row in group):
            break
        best = int(streams)
    return best


def _short(value: float) -> str:
    if float(value).is_integer() or abs(value) >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    # Three significant digits: 0.548, 5.48, 54.8.
    return f"{value:.{min(digits, 3)}f}"
