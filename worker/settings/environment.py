"""Reads the settings, reports all faults at once, and makes the table of ops/docs/settings.md."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from worker.settings.model import Settings
from worker.settings.tenants import Tenant, read_tenants

VENDOR = "CORTI_"
PREFIX = "CORTI_WORKER_"
_VENDOR_FIELDS = frozenset(
    {
        "client_id",
        "client_secret",
        "tenant",
        "environment",
        "auth_url",
        "api_url",
        "stream_url",
        "ca_file",
    }
)

_CREDENTIALS = ("client_id", "client_secret")

#: Variables that Kubernetes sets in each container for a Service named corti-worker; not settings of ours.
#: The pattern covers the value, too: a mistyped CORTI_WORKER_HEALTH_PORT must not pass for such a variable.
_SERVICE_LINK = re.compile(
    r"CORTI_WORKER_(.*_)?(SERVICE_HOST=.*|SERVICE_PORT(_.*)?=\d+|PORT=[a-z]+://.*|PORT_\d+_.*)"
)


class SettingsError(Exception):
    """The environment does not make valid settings. The text lists every fault, one a line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("the settings are not valid:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


def variable(field: str) -> str:
    """The environment variable of a field."""
    return (VENDOR if field in _VENDOR_FIELDS else PREFIX) + field.upper()


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        environment: Read instead of the process's own environment.

    Raises:
        SettingsError: With every fault found; none of them shows a value.
    """
    environment = os.environ if environment is None else environment
    known = {variable(field): field for field in Settings.model_fields}
    values: dict[str, Any] = {}
    faults: list[str] = []
    for name, field in known.items():
        if name in environment and f"{name}_FILE" in environment:
            faults.append(f"{name}: given twice, as {name} and as {name}_FILE; keep one")
        elif name in environment:
            values[field] = environment[name]
        elif f"{name}_FILE" in environment:
            try:
                values[field] = Path(environment[f"{name}_FILE"]).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                faults.append(f"{name}_FILE: cannot read the file it names ({type(error).__name__})")
                values[field] = None
    faults += [
        f"{name}: no such setting; `corti-worker settings` lists all"
        for name in sorted(environment)
        if name.startswith(PREFIX)
        and known.keys().isdisjoint({name, name.removesuffix("_FILE")})
        and not _SERVICE_LINK.fullmatch(f"{name}={environment[name]}")
    ]
    # Half a set of credentials is a mistake, even if other tenants have complete sets.
    if "tenants_dir" not in values or any(field in values for field in _CREDENTIALS):
        faults += [f"{variable(field)}: is required" for field in _CREDENTIALS if field not in values]
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        unreadable = {field for field, value in values.items() if value is None}
        faults += [text for fault in error.errors() if (text := _fault(fault, unreadable))]
    others, more = _others(values.get("tenants_dir"), settings)
    if faults or more or settings is None:
        raise SettingsError(faults + more)
    return settings.beside(others)


def _others(place: str | None, settings: Settings | None) -> tuple[tuple[Tenant, ...], list[str]]:
    """The tenants of a directory, and every fault of their files."""
    if not place or not Path(place).is_dir():
        return (), []
    name = variable("tenants_dir")
    tenants, faults = read_tenants(Path(place), settings.inherited() if settings else {})
    own = settings.tenant if settings and settings.client_id else None
    if own in {tenant.name for tenant in tenants}:
        faults.append(f"{own}: {variable('tenant')} is called so, too; keep one of them")
    return tenants, [f"{name}: {fault}" for fault in faults]


def secret_of(tenant: Tenant) -> str:
    """A tenant's client secret, read again where it was given as a file, because mounted secrets change."""
    place = tenant.secret_file or os.environ.get(f"{variable('client_secret')}_FILE")
    try:
        fresh = Path(place).read_text().strip() if place else ""
    except (OSError, UnicodeDecodeError):
        fresh = ""  # The file is perhaps being replaced. The secret that we know may still be valid.
    return fresh or tenant.client_secret.get_secret_value()


def tracing() -> bool:
    """Whether OpenTelemetry's standard variables ask for spans to be sent by OTLP."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return exporter == "otlp" and any(os.environ.get(name) for name in endpoints)


def _fault(fault: Any, unreadable: set[str]) -> str | None:
    message = str(fault["msg"]).removeprefix("Value error, ")
    if not fault["loc"]:
        return message
    field = str(fault["loc"][0])
    if field in unreadable:
        return None
    return f"{variable(field)}: {'is required' if fault['type'] == 'missing' else message}"


def markdown_table() -> str:
    """The settings as a Markdown table; ops/docs/settings.md holds a copy that a test compares."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        if name in _CREDENTIALS:
            default = "required"
        elif isinstance(field.default, SecretStr):
            default = f"`{field.default.get_secret_value()}`"
        elif isinstance(field.default, bool):
            default = f"`{str(field.default).lower()}`"
        else:
            default = "unset" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{variable(name)}` | {default} | {field.description} |")
    return "\n".join(rows)
