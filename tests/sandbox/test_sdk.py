"""The vendor's own client works with the sandbox as it does with the real service."""

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ops.sandbox.launch import Sandbox
from tests.conftest import require
from tests.sandbox.sound import silence, tone

SDK = Path(__file__).parent / "sdk"


@pytest.fixture(scope="session")
def node() -> str:
    """A Node.js with the vendor's packages of the lock file installed."""
    found, npm = shutil.which("node"), shutil.which("npm")
    require(found is not None and npm is not None, "node and npm are needed for the vendor's SDK")
    assert found is not None
    if not (SDK / "node_modules" / "@corti" / "sdk").is_dir():
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=SDK, capture_output=True, text=True, timeout=120, check=False)
        require(done.returncode == 0, f"npm ci failed: {done.stderr[-500:]}")
    return found


def run(node: str, sandbox: Sandbox, script: str, audio: bytes = b"") -> Any:
    address = json.dumps(asdict(sandbox.info))
    command = [node, str(SDK / script), address]
    done = subprocess.run(command, input=audio, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return json.loads(done.stdout)


def test_a_consultation_by_the_vendors_client(node: str, sandbox: Sandbox) -> None:
    audio = (silence(1) + tone(1) + silence(1)).tobytes()
    seen = run(node, sandbox, "consultation.mjs", audio)
    identifier = seen["created"]["interactionId"]
    transcript, facts, usage, ended = seen["messages"]
    assert [one["type"] for one in seen["messages"]] == ["transcript", "facts", "usage", "ENDED"]
    assert transcript["data"][0]["time"] == pytest.approx({"start": 1.0, "end": 2.0}, abs=0.1)
    assert usage["credits"] == pytest.approx(3 / 60, abs=1e-3)
    assert ended == {"type": "ENDED"}
    assert seen["code"] == 1000
    assert (seen["item"]["id"], seen["listed"].count(identifier)) == (identifier, 1)
    assert seen["stored"]["facts"][0]["id"] == facts["fact"][0]["id"]
    assert seen["status"] == "completed"
    stats = sandbox.stats()
    assert stats["streams"][0]["audio_bytes"] == len(audio)
    assert stats["sockets_opened"] == 1, "the client saw no clean end and connected again"


def test_failures_by_the_vendors_client(node: str, sandbox: Sandbox) -> None:
    seen = run(node, sandbox, "failures.mjs")
    assert (seen["badSecret"]["name"], seen["badSecret"]["status"]) == ("UnauthorizedError", 401)
    assert seen["badSecret"]["body"]["error"] == "unauthorized_client"
    assert "CONFIG_DENIED" in seen["badRole"]["text"]
    statuses = {name: seen[name]["status"] for name in ("duplicate", "unknown", "malformed", "incomplete")}
    assert statuses == {"duplicate": 409, "unknown": 404, "malformed": 400, "incomplete": 400}
    assert seen["incomplete"]["name"] == "BadRequestError"
    assert seen["incomplete"]["body"]["validationErrors"] == [{"encounter.identifier": "is required"}]
