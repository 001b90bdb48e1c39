"""The committed rules, and the metrics that they read."""

from pathlib import Path
from typing import Any

import yaml

from tests.ops import promql

_OPS = Path(__file__).parents[3] / "ops"
RULES, RUNBOOK = _OPS / "alerts/corti-worker.rules.yaml", _OPS / "runbook.md"


_GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
_ALL = [rule for group in _GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"] for rule in _ALL if "alert" in rule}
#: Alerts that page somebody.
CRITICAL = {rule["alert"] for rule in _ALL if "alert" in rule and rule["labels"]["severity"] == "critical"}
#: Every metric that a rule reads, directly or through a recording rule.
READ = set().union(*(promql.names(rule["expr"]) for rule in _ALL)) - {rule.get("record") for rule in _ALL}
