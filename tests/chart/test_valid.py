"""With all sets of values, Kubernetes, KEDA and the prometheus-operator accept the rendered objects."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.chart.helm import CHART, NEEDED, merged, render, run
from tests.chart.matrix import CASES, KUBERNETES

SCHEMAS = Path(__file__).parent / "schemas"


def custom(kind: str) -> Any:
    return json.loads((SCHEMAS / f"{kind}.json").read_text())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kubernetes", KUBERNETES)
def test_every_object_fits_its_schema_and_has_no_unknown_field(case: str, kubernetes: str) -> None:
    objects = render(CASES[case], kubernetes=kubernetes)
    assert len(objects) >= 3
    for item in objects:
        group = item["apiVersion"].partition("/")[0]
        if group in ("keda.sh", "monitoring.coreos.com"):
            jsonschema.validate(item, custom(item["kind"]))
        else:
            kubernetes_validate.validate(item, kubernetes, strict=True)
        if item["kind"] == "ScaledJob":  # the pod template in it is checked as a pod
            pod = {"apiVersion": "v1", "kind": "Pod", **item["spec"]["jobTargetRef"]["template"]}
            kubernetes_validate.validate(pod, kubernetes, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_helm_lint_reports_nothing(case: str) -> None:
    run("lint", "--strict", "--values", "-", str(CHART), given=json.dumps(merged(NEEDED, CASES[case])))


@pytest.mark.parametrize("case", CASES)
def test_no_two_objects_have_one_name(case: str) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in render(CASES[case])]
    assert len(names) == len(set(names))


def test_schemas_of_custom_resources_refuse_what_they_do_not_know() -> None:
    scaled = render(CASES["keda asks prometheus"]).one("ScaledObject")
    scaled["spec"]["cooldownSeconds"] = 1
    with pytest.raises(jsonschema.ValidationError, match="cooldownSeconds"):
        jsonschema.validate(scaled, custom("ScaledObject"))


def test_the_example_of_an_external_secret_gives_the_keys_that_the_chart_mounts() -> None:
    for example in yaml.safe_load_all((CHART / "examples/external-secret.yaml").read_text()):
        assert {item["secretKey"] for item in example["spec"]["data"]} == {"client-id", "client-secret"}
