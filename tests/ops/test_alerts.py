"""Alerts: promtool tests each alert firing and quiet; each is explained, and reads only exported metrics."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.lib import prometheus_server
from tests.conftest import require
from tests.ops import promql
from worker.contract.errors import Reason

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "ops/alerts"
RULES = FOLDER / "corti-worker.rules.yaml"
TESTS = sorted(FOLDER.glob("*.test.yaml"))
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RECORDED = {rule["record"]: rule for group in GROUPS for rule in group["rules"] if "record" in rule}
EXPRESSIONS = {name: rule["expr"] for name, rule in (ALERTS | RECORDED).items()}
CASES = [case for path in TESTS for case in yaml.safe_load(path.read_text())["tests"]]
RUNBOOK = (ROOT / "ops/runbook.md").read_text()


def test_promtool_accepts_the_rules() -> None:
    require(*prometheus_server.available())
    code, said = promql.promtool("check", "rules", RULES)
    assert code == 0, said


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    require(*prometheus_server.available())
    code, said = promql.promtool("test", "rules", path)
    assert code == 0, said


def test_a_broken_rule_is_noticed(tmp_path: Path) -> None:
    require(*prometheus_server.available())
    (tmp_path / RULES.name).write_text(RULES.read_text().replace("> 0.9", "> 0.99"))
    (tmp_path / "fleet.test.yaml").write_text((FOLDER / "fleet.test.yaml").read_text())
    code, said = promql.promtool("test", "rules", tmp_path / "fleet.test.yaml")
    assert code != 0
    assert "CortiSlotsFull" in said


def expected(case: dict[str, Any]) -> str:
    """The series that a test case expects, as one text."""
    return "\n".join(
        sample["labels"] for one in case["promql_expr_test"] for sample in one.get("exp_samples", ())
    )


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tested_firing_and_quiet(alert: str) -> None:
    mark = f'alertname="{alert}", alertstate="firing"'
    firing = [case for case in CASES if case["name"].startswith(f"{alert} fires: ")]
    quiet = [case for case in CASES if case["name"].startswith(f"{alert} stays quiet: ")]
    assert firing
    assert all(mark in expected(case) for case in firing)
    assert quiet
    for case in quiet:
        assert mark not in expected(case)
        # Without any of the alert's metrics in its input, a quiet test would prove nothing.
        fed = {promql.names(one["series"]).pop() for one in case["input_series"]}
        assert fed & sources(EXPRESSIONS[alert])


def sources(expression: str) -> set[str]:
    """The metrics that an expression reads, directly or through recorded series."""
    found = promql.names(expression)
    recorded = found & RECORDED.keys()
    return (found - recorded).union(*(sources(EXPRESSIONS[name]) for name in recorded))


def test_promtools_tests_are_of_existing_alerts() -> None:
    assert {case["name"].partition(" ")[0] for case in CASES} == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_what_happens_how_bad_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert alert.startswith("Corti")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"ops/runbook.md#{alert.lower()}"


def test_the_runbook_explains_each_alert_under_its_severity() -> None:
    # In GitHub's anchors a heading of one word is the word in lower case.
    parts = re.split(r"^## (\w+)$", RUNBOOK, flags=re.MULTILINE)
    explained = {
        alert: severity.lower()
        for severity, text in zip(parts[1::2], parts[2::2], strict=True)
        for alert in re.findall(r"^### (\w+)$", text, re.MULTILINE)
    }
    assert explained == {alert: rule["labels"]["severity"] for alert, rule in ALERTS.items()}


@pytest.mark.parametrize("alert", ALERTS)
def test_the_runbook_says_meaning_impact_checks_and_cure(alert: str) -> None:
    text = RUNBOOK.partition(f"\n### {alert}\n")[2].partition("\n### ")[0]
    places = [text.find(f"**{word}.**") for word in ("Meaning", "Impact", "Checks", "Cure")]
    assert -1 not in places
    assert places == sorted(places)


def test_every_link_of_the_runbook_leads_somewhere() -> None:
    anchors = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", RUNBOOK, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= anchors
    settings = (ROOT / "ops/docs/settings.md").read_text()
    for name in re.findall(r"CORTI_\w+", RUNBOOK):
        assert name.removesuffix("_FILE") in settings


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_rules_read_what_is_exported_or_recorded(name: str) -> None:
    expression = EXPRESSIONS[name]
    assert promql.names(expression)
    assert promql.names(expression) <= promql.exported().keys() | RECORDED.keys()
    assert list(promql.faults(expression)) == []


def test_audio_that_only_its_producer_can_mend_is_no_fault_of_the_service() -> None:
    """A reason that is missing in the list would wake somebody at night for a broken file."""
    rules = (ROOT / "ops/alerts/corti-worker.rules.yaml").read_text(encoding="utf-8")
    ours = re.compile(re.findall(r'reason!~"([^"]+)"', rules)[0])
    audio = [reason for reason in Reason if reason.startswith("audio_")]
    assert {reason for reason in audio if not ours.fullmatch(reason)} == {Reason.AUDIO_UNREACHABLE}
