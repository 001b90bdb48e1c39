"""Scanners find nothing of medium severity or above, except what is listed here with its reason."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import ROOT, render
from tests.chart.matrix import CASES
from tests.conftest import require

BIN = Path(sys.executable).parent

#: Reasons for accepted findings, by rule; where a rule is accepted for one object only, by rule and object.
EXCEPTIONS = {
    "KSV-01010": "It takes names like CORTI_WORKER_SLOTS for secrets; test_promises shows none is.",
    "KSV-0125": "It knows the registries of a few clouds; `image.repository` is the user's to set.",
    "KSV-0048 hospital-corti-worker-deletion-cost": (
        "Patching pods is what podDeletionCost.enabled asks for; it is off unless asked for."
    ),
}


def findings(folder: Path, *options: str) -> list[dict[str, Any]]:
    command = [str(BIN / "trivy"), "config", "--skip-check-update", "--skip-version-check", "--quiet"]
    command += ["--format", "json", "--severity", "MEDIUM,HIGH,CRITICAL", *options, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    results = json.loads(done.stdout).get("Results", [])
    assert results, "nothing was scanned"
    return [finding for result in results for finding in result.get("Misconfigurations", [])]


def excused(finding: dict[str, Any]) -> bool:
    return finding["ID"] in EXCEPTIONS or any(
        rule.startswith(f"{finding['ID']} ") and rule.partition(" ")[2] in finding["Message"]
        for rule in EXCEPTIONS
    )


@pytest.fixture(autouse=True)
def scanners() -> None:
    require((BIN / "trivy").exists(), "the scanners' wheels are for Linux only")


def test_trivy_finds_nothing_in_what_the_chart_renders(tmp_path: Path) -> None:
    for case, values in CASES.items():
        (tmp_path / f"{case}.yaml").write_text(yaml.safe_dump_all(list(render(values))))
    assert [
        f"{finding['ID']} {finding['Severity']}: {finding['Message']}"
        for finding in findings(tmp_path)
        if not excused(finding)
    ] == []


def test_trivy_would_find_a_container_that_may_become_root(tmp_path: Path) -> None:
    objects = render({"securityContext": {"allowPrivilegeEscalation": True}})
    (tmp_path / "x.yaml").write_text(yaml.safe_dump_all(list(objects)))
    assert "KSV-0001" in {finding["ID"] for finding in findings(tmp_path)}


def test_trivy_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text((ROOT / "Dockerfile").read_text())
    assert [(finding["ID"], finding["Message"]) for finding in findings(tmp_path)] == []


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run(
        [BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
