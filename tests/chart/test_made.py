"""The generated parts of the chart are current, and each value is documented."""

import json
import re
from pathlib import Path

import pytest

from ops.chart.made import CHART, stale
from ops.chart.values import documented
from tests.chart.helm import NEEDED, merged, run
from tests.chart.matrix import CASES
from worker import __version__


def test_the_generated_readme_schema_dashboards_and_alerts_are_current() -> None:
    assert stale() == [], "run `.venv/bin/python -m ops.chart update`"


def test_a_value_without_a_comment_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"door\.replicas has no comment"):
        documented("# -- One.\na: 1\ndoor:\n  # -- Two.\n  separate: true\n  replicas: 2\n")


def test_a_comment_covers_what_lies_below_its_value_and_may_have_several_lines() -> None:
    first, second = documented("# -- One\n# and more.\na:\n  b: 1\n  c: {d: 2}\nz:\n  # -- Two.\n  y: [3]\n")
    assert (first.name, first.default, first.text) == ("a", {"b": 1, "c": {"d": 2}}, "One and more.")
    assert (second.name, second.default, second.text) == ("z.y", [3], "Two.")


def test_the_chart_has_the_workers_version() -> None:
    chart = (CHART / "Chart.yaml").read_text()
    assert re.findall(r'^(?:appV|v)ersion: "?([^"\n]+)', chart, re.MULTILINE) == [__version__, __version__]


def test_links_in_the_charts_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (CHART / "README.md").read_text())
    assert links
    assert [link for link in links if not (CHART / link).exists()] == []


def test_every_template_is_used_by_the_matrix() -> None:
    shown = "".join(
        run("template", "x", str(CHART), "--values", "-", given=json.dumps(merged(NEEDED, values)))
        for values in CASES.values()
    )
    sources = {Path(name).name for name in re.findall(r"# Source: (\S+)", shown)}
    assert {path.name for path in (CHART / "templates").rglob("*.yaml")} <= sources
