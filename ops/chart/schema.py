"""The JSON Schema of the chart's values.

Types come from the default values, limits from `_KNOWN`, and the schema of `settings` from
`worker.settings.Settings`.
"""

from collections.abc import Iterable
from typing import Any

from ops.chart.values import Value
from worker.settings import Settings

#: Settings that `settings` must not set, because the chart sets them from other values or mounted files.
OWNED = {
    "client_id", "client_secret", "tenant", "environment", "auth_url", "api_url", "stream_url", "ca_file",
    "broker_url", "broker_ca_file", "broker_cert_file", "broker_key_file",
    "redis_url", "redis_ca_file", "redis_cert_file", "redis_key_file", "encryption_keys",
    "tenants_dir", "lane", "slots", "door", "grace",
    "idle_exit", "health_host", "health_port", "spool_bytes",
}  # fmt: skip

_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
#: A part of a Kubernetes object. The API server checks its content; the schema checks only its type.
_OBJECT: dict[str, Any] = {"type": "object"}
_OBJECTS = {"type": "array", "items": {"type": "object"}}
_PORTS = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}, "minItems": 1}
_POSITIVE = {"type": "integer", "minimum": 1}
_RESOURCES = {
    "type": "object",
    "additionalProperties": False,
    "properties": {name: {"type": "object"} for name in ("requests", "limits", "claims")},
}
_SHARE = {"type": ["integer", "string"], "pattern": r"^\d+%?$"}

_KEY = {"type": "string", "pattern": "^[-._a-zA-Z0-9]+$"}
_NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_TENANT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["existingSecret"],
    "properties": {
        "existingSecret": {"type": "string", "minLength": 1},
        "clientIdKey": _KEY,
        "clientSecretKey": _KEY,
        "caKey": _KEY,
        "tenant": {"type": "string", "pattern": _NAME},
        "environment": {"type": "string", "pattern": "^[a-z0-9-]{1,32}$"},
        "authUrl": {"type": "string", "pattern": "^https?://.+$"},
        "apiUrl": {"type": "string", "pattern": "^https?://.+$"},
        "streamUrl": {"type": "string", "pattern": "^wss?://.+$"},
        "maxStreams": {"type": "integer", "minimum": 0},
        "retention": {"enum": ["retain", "none"]},
        "audioBuckets": {"type": "string", "minLength": 1},
        **{f"{kind}CredentialsKey": _KEY for kind in ("s3", "gs", "az")},
    },
}

#: Schemas of values, by path (`image.digest`) or, for every value with this last key, by that key (`ports`).
_KNOWN: dict[str, dict[str, Any]] = {
    "mode": {"enum": ["deployment", "scaledJob"]},
    "slots": {"minimum": 1, "maximum": 10000},
    "graceSeconds": {"minimum": 1, "maximum": 86400},
    "terminationGracePeriodSeconds": {"type": ["integer", "null"], "minimum": 2},
    "lane": {"pattern": "^[a-z0-9-]{0,32}$"},
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "spoolMebibytes": {"minimum": 1, "maximum": 1 << 30},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "corti.environment": {"pattern": "^[a-z0-9-]{1,32}$"},
    "corti.tenant": {"pattern": _NAME},
    "tenants": {"type": "object", "additionalProperties": False, "patternProperties": {_NAME: _TENANT}},
    "corti.authUrl": {"pattern": "^(https?://.+)?$"},
    "corti.apiUrl": {"pattern": "^(https?://.+)?$"},
    "corti.streamUrl": {"pattern": "^(wss?://.+)?$"},
    "corti.ca": {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"type": "string", "minLength": 1} for name in ("secret", "configMap", "key")},
    },
    "broker.kind": {"enum": ["rabbitmq", "redis"]},
    "autoscaling.kind": {"enum": ["none", "keda", "hpa"]},
    "autoscaling.maxReplicas": {"minimum": 1},
    "autoscaling.targetUtilization": {"minimum": 1, "maximum": 100},
    "autoscaling.hpa.cpuUtilization": {"minimum": 1, "maximum": 100},
    # The limits of autoscaling/v2.
    "stabilizationSeconds": {"maximum": 3600},
    "autoscaling.scaleUp.periodSeconds": {"minimum": 1, "maximum": 1800},
    "autoscaling.scaleDown.periodSeconds": {"minimum": 1, "maximum": 1800},
    "pods": {"minimum": 1},
    "autoscaling.keda.trigger": {"enum": ["prometheus", "broker"]},
    "autoscaling.keda.pollingInterval": {"minimum": 1},
    "autoscaling.keda.redis.address": {"pattern": r"^(.+:\d+)?$"},
    # The template inserts this URL into the text of the rules and appends `#` and the alert's heading.
    "metrics.rules.runbookUrl": {"pattern": r"""^(https?://[^\s#"'\\{}]+)?$"""},
    "metrics.port": {"minimum": 1024, "maximum": 65535},
    "interval": {"pattern": r"^\d+(ms|s|m)$"},
    "scaledJob.idleSeconds": {"minimum": 1, "maximum": 86400},
    "periodSeconds": {"minimum": 1},
    "timeoutSeconds": {"minimum": 1},
    "failureThreshold": {"minimum": 1},
    "ports": _PORTS,
    "maxSurge": _SHARE,
    "maxUnavailable": _SHARE,
    "resources": _RESOURCES,
    "labels": _STRINGS,
    "annotations": _STRINGS,
    "podLabels": _STRINGS,
    "podAnnotations": _STRINGS,
    "commonLabels": _STRINGS,
    "nodeSelector": _STRINGS,
    "podSecurityContext": _OBJECT,
    "securityContext": _OBJECT,
    "affinity": _OBJECT,
}
_TYPES = {bool: "boolean", int: "integer", str: "string"}


def schema(values: Iterable[Value]) -> dict[str, Any]:
    """Return the JSON Schema of the values. It refuses unknown keys.

    It is of draft 7, the newest that Helm 3 supports.

    Raises:
        ValueError: The type of a value cannot be derived from its default, and `_KNOWN` does not state it.
    """
    root = _closed()
    root = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of corti-worker", **root}
    # Helm passes the value `global` to every chart.
    root["properties"]["global"] = _OBJECT
    for value in values:
        node = root
        for key in value.path[:-1]:
            node = node["properties"].setdefault(key, _closed())
        node["properties"][value.path[-1]] = {**_leaf(value), "description": value.text}
    return root


def _closed() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _leaf(value: Value) -> dict[str, Any]:
    if value.name == "settings":
        return {**_closed(), "properties": settings()}
    known = _KNOWN.get(value.name, _KNOWN.get(value.path[-1], {}))
    if "type" in known or "enum" in known:
        return dict(known)
    if isinstance(value.default, list):
        return dict(_OBJECTS)
    kind = _TYPES.get(type(value.default))
    if kind is None:
        raise ValueError(f"ops/chart/schema.py: add a schema of {value.name} to _KNOWN")
    return {"type": kind, **({"minimum": 0} if kind == "integer" else {}), **known}


def settings() -> dict[str, Any]:
    """Return the schemas of the worker settings that the value `settings` may hold, by name.

    Secrets and the settings in `OWNED` are not among them.
    """
    fields = Settings.model_json_schema()["properties"]
    return {
        name: {key: part for key, part in field.items() if key not in ("title", "default", "format")}
        for name, field in fields.items()
        if name not in OWNED and "writeOnly" not in str(field)
    }
