"""Values that the chart refuses, and its messages."""

import json
from typing import Any

import pytest
import yaml

from ops.chart.schema import OWNED
from tests.chart.helm import CHART, Refused, render, render_exactly
from worker.settings import Settings


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"graceSeconds": 600, "terminationGracePeriodSeconds": 600}, "must be longer than graceSeconds"),
        ({"mode": "scaledJob", "autoscaling": {"kind": "keda"}}, "mode scaledJob needs door.separate=true"),
        ({"mode": "scaledJob", "door": {"separate": True}}, "mode scaledJob needs autoscaling.kind=keda"),
        ({"autoscaling": {"kind": "keda", "minReplicas": 0}}, "minReplicas must be at least 1"),
        ({"autoscaling": {"minReplicas": 11}}, "minReplicas is larger than"),
        (
            {"autoscaling": {"kind": "keda", "keda": {"trigger": "broker"}}},
            "keda.rabbitmq.existingSecret is required",
        ),
        (
            {"broker": {"kind": "redis"}, "autoscaling": {"kind": "keda", "keda": {"trigger": "broker"}}},
            "keda.redis.address is required",
        ),
        ({"corti": {"existingSecret": ""}}, "corti.existingSecret is required"),
        ({"broker": {"existingSecret": ""}}, "broker.existingSecret is required"),
        ({"redis": {"existingSecret": ""}}, "redis.existingSecret is required with RabbitMQ"),
        ({"tenants": {"clinic-a": {}}}, "existingSecret"),
        ({"tenants": {"clinic-a": {"existingSecret": "x", "clientSecret": "y"}}}, "clientSecret"),
        ({"tenants": {"clinic/a": {"existingSecret": "x"}}}, "clinic/a"),
        ({"tenants": {"clinic-a": {"existingSecret": "x", "retention": "some"}}}, "retention"),
        ({"tenants": {"base": {"existingSecret": "x"}}}, "tenants.base has the name of corti.tenant"),
        ({"corti": {"ca": {"key": "x"}}}, "corti.ca needs secret or configMap"),
        ({"broker": {"kind": "kafka"}}, "broker.kind"),
        ({"slots": 0}, "slots"),
        ({"metrics": {"rules": {"runbookUrl": "wiki/runbook"}}}, "runbookUrl"),
        ({"metrics": {"rules": {"runbookUrl": "https://wiki.example/runbook#top"}}}, "runbookUrl"),
        ({"settings": {"attempts": 0}}, "settings.attempts"),
        ({"settings": {"log_level": "LOUD"}}, "settings.log_level"),
    ],
)
def test_values_that_would_not_work_are_refused_with_a_sentence(values: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        render(values)


def test_without_any_values_the_chart_says_what_it_needs() -> None:
    with pytest.raises(Refused, match="existingSecret is required"):
        render_exactly()


def test_the_demo_needs_no_values_but_its_own() -> None:
    assert render_exactly(yaml.safe_load((CHART / "values-demo.yaml").read_text()))


def paths(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every map in values.yaml whose keys the chart defines."""
    found = [path]
    for key, value in tree.items():
        if isinstance(value, dict) and value and key not in FREE:
            found += paths(value, (*path, key))
    return found


#: Maps whose keys the chart does not define: parts of Kubernetes' objects, and maps with the user's keys.
FREE = {"labels", "requests", "limits", "podSecurityContext", "securityContext"}
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("path", paths(VALUES), ids=".".join)
def test_a_key_that_the_chart_does_not_know_is_refused_in_every_map(path: tuple[str, ...]) -> None:
    values: dict[str, Any] = {"misspelt": 1}
    for key in reversed(path):
        values = {key: values}
    with pytest.raises(Refused, match="misspelt"):
        render(values)


def test_every_setting_of_the_worker_can_be_set_in_exactly_one_way() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    settable = set(schema["properties"]["settings"]["properties"])
    assert settable.isdisjoint(OWNED)
    assert settable | OWNED == set(Settings.model_fields)
    with pytest.raises(Refused, match="slots"):
        render({"settings": {"slots": 5}})
