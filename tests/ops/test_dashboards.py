"""Dashboards: the committed JSON is current, and every query parses and reads only exported metrics."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from ops.dashboards.__main__ import BOARDS, FOLDER
from ops.dashboards.board import Board, Panel, to_json
from ops.lib import prometheus_server
from tests.conftest import require
from tests.ops import promql
from tests.ops.test_alerts import EXPRESSIONS, RECORDED
from worker.telemetry import catalogue

ROOT = Path(__file__).parents[2]
PANELS = [(board, panel) for board in BOARDS for panels in board.rows.values() for panel in panels]
QUERIES = [expression for _, panel in PANELS for expression in panel.queries.values()]
#: The values with which Grafana replaces its variables.
VARIABLES = {"$namespace": ".*", "$__rate_interval": "1m", "$__range": "6h"}
#: Metrics that no dashboard and no alert reads, each with its reason.
UNUSED: dict[str, str] = {}


def filled(expression: str) -> str:
    """An expression as Grafana sends it, with its variables replaced."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def name_of(case: tuple[Board, Panel]) -> str:
    return f"{case[0].name}: {case[1].title}"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_committed_json_is_current(board: Board) -> None:
    path = FOLDER / f"{board.name}.json"
    assert path.read_text() == to_json(board), "run .venv/bin/python -m ops.dashboards"


def test_no_json_is_left_of_a_board_that_is_gone() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {board.name for board in BOARDS}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_grafana_gets_every_panel_with_query_unit_place_and_advice(board: Board) -> None:
    document: dict[str, Any] = json.loads(to_json(board))
    assert document["uid"] == f"corti-{board.name}"
    ours = {panel.title: panel for panels in board.rows.values() for panel in panels}
    theirs = {one["title"]: one for one in document["panels"] if one["type"] != "row"}
    assert theirs.keys() == ours.keys()
    for title, panel in ours.items():
        one = theirs[title]
        assert one["description"] == panel.advice
        assert [target["expr"] for target in one["targets"]] == list(panel.queries.values())
        assert one["fieldConfig"]["defaults"]["unit"] == panel.unit
    # No two panels overlap.
    cells = [
        (x, y)
        for one in document["panels"]
        for x in range(one["gridPos"]["x"], one["gridPos"]["x"] + one["gridPos"]["w"])
        for y in range(one["gridPos"]["y"], one["gridPos"]["y"] + one["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(x < 24 for x, _ in cells)


def test_titles_differ() -> None:
    for board in BOARDS:
        titles = [panel.title for panels in board.rows.values() for panel in panels]
        assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("case", PANELS, ids=name_of)
def test_each_panel_says_what_to_do(case: tuple[Board, Panel]) -> None:
    panel = case[1]
    assert panel.advice.endswith(".")
    assert len(panel.advice.split()) >= 8
    for alert in re.findall(r"Corti[A-Z]\w+", panel.advice):
        assert alert in EXPRESSIONS


@pytest.mark.parametrize("case", PANELS, ids=name_of)
def test_each_query_reads_what_is_exported_in_the_chosen_namespaces(case: tuple[Board, Panel]) -> None:
    for expression in case[1].queries.values():
        assert promql.names(expression)
        assert promql.names(expression) <= promql.exported().keys() | RECORDED.keys()
        assert list(promql.faults(filled(expression))) == []
        assert expression.count("{") == expression.count('{namespace=~"$namespace"')


@pytest.mark.parametrize("case", PANELS, ids=name_of)
def test_each_legend_names_a_label_that_its_query_keeps(case: tuple[Board, Panel]) -> None:
    for legend, expression in case[1].queries.items():
        for label in re.findall(r"\{\{(\w+)\}\}", legend):
            assert re.search(rf"by \([^)]*\b{label}\b", expression) or "queue_depth:max" in expression


def test_every_query_parses(tmp_path: Path) -> None:
    require(*prometheus_server.available())
    code, said = promql.parse([filled(one) for one in QUERIES], tmp_path)
    assert code == 0, said
    broken, _ = promql.parse(["sum(rate(corti_slots[5m])"], tmp_path)
    assert broken != 0


def test_every_metric_is_used_or_unused_on_purpose() -> None:
    own = promql.exported()
    used = {
        own[name] for one in (*QUERIES, *EXPRESSIONS.values()) for name in promql.names(one) if name in own
    }
    ours = {one.name for one in catalogue.EVERY}
    assert ours - used == UNUSED.keys()


def test_every_recorded_series_is_used() -> None:
    used = set().union(*map(promql.names, (*QUERIES, *EXPRESSIONS.values())))
    assert RECORDED.keys() <= used


def test_every_measure_is_recorded_somewhere_in_the_worker() -> None:
    code = "\n".join(
        path.read_text()
        for path in (ROOT / "worker").rglob("*.py")
        if path.name not in {"catalogue.py", "label_values.py"}
    )
    names = [name for name, value in vars(catalogue).items() if value in catalogue.EVERY]
    assert len(names) == len(catalogue.EVERY)
    assert [name for name in names if not re.search(rf"\bcatalogue\.{name}\b", code)] == []


def test_prometheus_answers_a_panels_query() -> None:
    require(*prometheus_server.available())
    with prometheus_server.PrometheusServer({}) as prometheus:
        now = time.time()
        assert prometheus.query("vector(2)", now - 2, now, 1)[0]["values"][0][1] == "2"
        with pytest.raises(RuntimeError, match="parse error"):
            prometheus.query("sum(", now - 2, now, 1)
