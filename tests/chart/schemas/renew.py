"""Makes the JSON Schemas of the custom resources that the chart renders; they refuse unknown fields.

    python -m venv /tmp/crds && /tmp/crds/bin/pip install \
        cloudcoil.models.keda==2.16.1.0 cloudcoil.models.prometheus_operator==0.80.1.0
    /tmp/crds/bin/python tests/chart/schemas/renew.py

The models are made from the projects' own definitions (KEDA 2.16, prometheus-operator 0.80, Apache-2.0).
The models are no dependency of the tests, because cloudcoil brings a pytest plugin that fails to load.
"""

import importlib
import json
from pathlib import Path
from typing import Any

KINDS = {
    "cloudcoil.models.keda.v1alpha1": ("ScaledObject", "ScaledJob", "TriggerAuthentication"),
    "cloudcoil.models.prometheus_operator.v1": ("PodMonitor", "ServiceMonitor", "PrometheusRule"),
}


def closed(schema: Any) -> Any:
    """The schema without descriptions, changed so that it refuses fields that it does not name."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: closed(value) for key, value in schema.items() if not (key in PROSE and isinstance(value, str))
    }
    if "properties" in kept and kept.get("type") == "object":
        kept.setdefault("additionalProperties", False)
    return kept


PROSE = {"description", "title"}

for module, names in KINDS.items():
    for name in names:
        model = getattr(importlib.import_module(module), name)
        schema = closed(model.model_json_schema(by_alias=True))
        # The API server checks metadata alike for all kinds; in the tests, kubernetes-validate does.
        schema["properties"]["metadata"] = {"type": "object"}
        if name == "ScaledJob":
            # The pod's template is checked in the Deployment, which has the same one.
            schema["$defs"]["JobTargetRef"]["properties"]["template"] = {"type": "object"}
        used = json.dumps(schema)
        while unused := [d for d in schema["$defs"] if f'"#/$defs/{d}"' not in used]:
            for definition in unused:
                del schema["$defs"][definition]
            used = json.dumps(schema)
        # Go allows a flag in the middle of a regular expression, Python does not.
        text = json.dumps(schema, separators=(",", ":"), sort_keys=True).replace('"^(?i)', '"(?i)^')
        path = Path(__file__).with_name(f"{name}.json")
        path.write_text(text + "\n")
        print(path.name, len(used))
