"""From rows of measurements to figures: medians with their ranges, ratios, slopes. Pure."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

#: One measurement: what was measured (`subject`, `streams`, ...), in which `round`, and its numbers.
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number measured several times: the median, and the least and the most that was seen."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Of at least one value."""
        seen = list(values)
        return cls(statistics.median(seen), min(seen), max(seen))

    def __str__(self) -> str:
        middle, least, most = (_short(value) for value in (self.median, self.least, self.most))
        return middle if least == most else f"{middle} [{least}-{most}]"


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` (0..1) of all values do not exceed.

    Raises:
        ValueError: There are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values: nothing was measured")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def grouped(rows: Iterable[Row], by: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by the values of some columns, in the order in which these first occur."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in by), []).append(row)
    return groups


def figure(rows: Iterable[Row], column: str) -> Figure | None:
    """A column over several rows; None where no row has it."""
    values = [row[column] for row in rows if row.get(column) is not None]
    return Figure.of(values) if values else None


def ratios(
    rows: Iterable[Row], column: str, numerator: str, denominator: str, by: Sequence[str] = ("streams",)
) -> dict[tuple[Any, ...], Figure]:
    """How two subjects compare: a ratio for each round, then their median.

    Both sides of a ratio were measured within one round, minutes apart: what else the machine does
    changes from round to round, and would be in the ratio of two medians.

    Args:
        rows: Measurements with `subject` and `round`.
        column: What is compared.
        numerator: One subject.
        denominator: The other.
        by: Columns that must be equal on both sides.

    Returns:
        Figures by the values of `by`; without those that one side lacks.
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
    """Growth of y per x by least squares, such as bytes per stream; None with fewer than two different x."""
    seen = list(points)
    if len({x for x, _ in seen}) < 2:  # noqa: PLR2004
        return None
    return statistics.linear_regression([x for x, _ in seen], [y for _, y in seen]).slope


def growth(rows: Iterable[Row], column: str, after: float) -> Row | None:
    """How a column grew over the rows of one run, the start left out.

    Args:
        rows: In the order of their `seconds`, each with the `results` so far.
        column: What may have grown.
        after: Seconds of the start, in which caches and pools fill.

    Returns:
        `minutes` looked at; the column's value at their `first` and `last` moment; growth `per_hour` and
        `per_thousand` results, by least squares. None with fewer than two rows.
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
    """The highest number of streams whose median of a column keeps a limit, with no failures up to it."""
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
    # Three digits that mean something: 0.548, 5.48, 54.8.
    return f"{value:.{min(digits, 3)}f}"
