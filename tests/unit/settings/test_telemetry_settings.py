"""Settings of telemetry: where the audit trail goes, and when spans are recorded."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.environment import NEEDED, faults
from worker import cli
from worker.settings import load, tracing

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def test_the_audit_trail_goes_to_standard_output_unless_told_otherwise(tmp_path: Path) -> None:
    assert load(NEEDED).audit == "stdout"
    for place in "off", str(tmp_path / "audit.jsonl"):
        assert load({**NEEDED, "CORTI_WORKER_AUDIT": place}).audit == place


def test_a_trail_that_could_not_be_written_is_refused(tmp_path: Path) -> None:
    (fault,) = faults(CORTI_WORKER_AUDIT=str(tmp_path / "missing" / "audit.jsonl"))
    assert fault.startswith("CORTI_WORKER_AUDIT: expected stdout, off, or the path of a file")


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "false"}, True),
        ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_spans_are_recorded_when_the_standard_variables_ask_for_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: bool
) -> None:
    for name in (ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracing() is wanted


@pytest.mark.parametrize("found", [None, ModuleNotFoundError("opentelemetry")])
def test_spans_without_their_library_are_a_fault_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, found: Exception | None
) -> None:
    def find(_: str) -> None:
        if found is not None:
            raise found

    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setattr(cli, "find_spec", find)
    result = CliRunner().invoke(cli.main, ["run"])
    assert result.exit_code == cli.EXIT_CONFIG
    assert "pip install 'corti-worker[otel]'" in result.output
