"""The bench's reports on its measurements: figures, tables, files, plots."""

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ops.benchmarks import meter, report, tokens
from ops.benchmarks.figures import Figure, figure, most_within, percentile, ratios, slope
from ops.benchmarks.plots import spread, streams_plot
from worker.protocol.token import TokenPolicy

PNG = b"\x89PNG\r\n\x1a\n"


def row(subject: str, streams: int, number: int, cpu: float, **more: Any) -> dict[str, Any]:
    return {"subject": subject, "streams": streams, "round": number, "cpu_us": cpu, **more}


# Measurements of two subjects in three rounds; in round 1, both were slowed down to a third.
ROWS = [
    row("worker", 100, 0, 110.0),
    row("sdk", 100, 0, 220.0),
    row("worker", 100, 1, 330.0),
    row("sdk", 100, 1, 660.0),
    row("worker", 100, 2, 100.0),
    row("sdk", 100, 2, 250.0),
]


def test_a_figure_is_the_median_with_its_range() -> None:
    assert Figure.of([5.0, 1.0, 2.0]) == Figure(2.0, 1.0, 5.0)
    assert Figure.of([1.0, 2.0]).median == 1.5


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Figure(0.5478, 0.5478, 0.5478), "0.548"),
        (Figure(12.345, 11.0, 13.0), "12.3 [11-13]"),
        (Figure(4000.0, 3999.6, 4000.0), "4,000"),
        (Figure(7, 7, 7), "7"),
        (Figure(0.00004, 0.0, 0.00004), "0.000 [0-0.000]"),
    ],
)
def test_a_figure_shows_three_digits_that_mean_something(found: Figure, text: str) -> None:
    assert str(found) == text


def test_a_figure_leaves_out_rows_without_the_column() -> None:
    assert figure([{"a": 1.0}, {"a": None}, {}], "a") == Figure(1.0, 1.0, 1.0)
    assert figure([{}], "a") is None


def test_ratios_are_taken_within_a_round() -> None:
    assert ratios(ROWS, "cpu_us", "worker", "sdk") == {(100,): Figure(0.5, 0.4, 0.5)}


def test_ratios_need_both_sides_in_the_same_round() -> None:
    lonely = [row("worker", 1, 0, 1.0), row("sdk", 1, 1, 1.0), row("sdk", 2, 0, 1.0)]

    assert ratios(lonely, "cpu_us", "worker", "sdk") == {}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentiles_are_values_that_were_measured(share: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)


def test_the_slope_is_the_growth_per_stream() -> None:
    assert slope([(100, 60e6), (1000, 105e6)]) == pytest.approx(50_000)
    assert slope([(100, 1.0), (100, 2.0)]) is None


def test_the_most_streams_stops_at_the_first_that_is_late_or_fails() -> None:
    rows = [
        row("worker", streams, 0, 1.0, lateness_p99=late) for streams, late in ((1, 1), (10, 9), (100, 200))
    ]

    assert most_within(rows, "lateness_p99", 100) == 10
    assert most_within([*rows, row("worker", 1000, 0, 1.0, lateness_p99=5.0)], "lateness_p99", 100) == 10
    failing = [row("worker", 1, 0, 1.0, lateness_p99=1.0, failed=1)]
    assert most_within(failing, "lateness_p99", 100) is None


def test_labels_are_moved_apart_and_stay_in_order_and_inside() -> None:
    heights = [0.97, 0.1, 0.98, 0.11, 0.99]

    moved = spread(heights, 0.05)

    ordered = sorted(moved)
    assert all(upper - lower >= 0.05 - 1e-9 for lower, upper in pairwise(ordered))
    assert max(moved) <= 1.0
    assert sorted(range(5), key=lambda i: heights[i]) == sorted(range(5), key=lambda i: moved[i])


def test_the_table_has_a_line_for_each_group_and_no_empty_column() -> None:
    made = report.table("T", ROWS, ["subject", "streams"], {"cpu_us": "CPU", "rss": "RSS"}, "below")

    out = io.StringIO()
    Console(width=100, file=out).print(made)
    text = out.getvalue()
    assert "110 [100-330]" in text
    assert "RSS" not in text
    assert made.row_count == 2


def test_the_json_says_where_its_figures_come_from(tmp_path: Path) -> None:
    path = tmp_path / "new" / "figures.json"

    report.write_json(path, "streams", ROWS, seconds=10)

    content = json.loads(path.read_text())
    assert content["rows"] == ROWS
    assert content["seconds"] == 10
    assert {"command", "commit", "machine", "versions", "finished_at"} <= content.keys()
    assert content["machine"]["cores"] > 0
    assert content["versions"]["celery"]


def test_the_cores_are_looked_up_once() -> None:
    assert meter.cores() is meter.cores()


def test_the_plot_is_a_picture_of_all_subjects(tmp_path: Path) -> None:
    rows = [
        row(subject, streams, number, 100.0 + streams / 50, lateness_p99=late)
        for subject in ("worker", "@corti/sdk", "gave up early")
        for streams, late in ((1, 0.0), (1000, 3.0), (4000, 40.0))
        for number in range(2)
        if streams == 1 or subject != "gave up early"
    ]

    path = streams_plot(rows, tmp_path / "plots" / "streams.png")

    assert path.read_bytes().startswith(PNG)
    assert path.stat().st_size > 10_000


def test_scaled_tokens_keep_the_worker_policy() -> None:
    scale = tokens.Scale(lifetime=3.0, lives=12.0)

    assert scale.factor == 100
    assert scale.policy == TokenPolicy(early=0.6, margin=0.1)
    assert scale.useful * scale.factor == pytest.approx(240)
