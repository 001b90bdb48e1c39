"""The example producers of our pages work; the tests replace only addresses and paths of audio in them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import require
from tests.system.audio import clip
from tests.system.installation import Installation

ROOT = Path(__file__).resolve().parents[2]
NODE = Path(__file__).parent / "node"
BLOCK = re.compile(r"^```(\w+) (redis|rabbitmq)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippet(language: str, broker_url: str, audio: Path) -> str:
    broker = "redis" if broker_url.startswith("redis") else "rabbitmq"
    found = [
        text
        for page in ("README.md", "ops/docs/integrate.md")
        for kind, name, text in BLOCK.findall((ROOT / page).read_text())
        if (kind, name) == (language, broker)
    ]
    assert len(found) == 1
    text, addresses = re.subn(r"(redis|amqp)://[^\"]+", broker_url, found[0])
    text, paths = re.subn(r"/audio/visit-4711\.wav", str(audio), text)
    assert addresses == paths == 1
    return text


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    clip(tmp_path / "visit.wav", 1.0, seed=1)
    return tmp_path / "visit.wav"


def assert_completed(installation: Installation) -> None:
    finals = installation.finals(1, timeout=30)
    assert installation.outcomes(finals) == {"completed": 1}
    assert list(finals) == ["visit-4711"]


def test_the_python_producer_works(installation: Installation, broker_url: str, audio: Path) -> None:
    installation.start_worker().ready()
    text = snippet("python", broker_url, audio)

    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True
    )

    if broker_url.startswith("redis"):  # this example waits for its result and prints it
        assert "segments" in done.stdout
    else:
        assert_completed(installation)


def test_the_javascript_producer_works(installation: Installation, broker_url: str, audio: Path) -> None:
    require(shutil.which("npm") is not None, "npm is not installed; on Debian: apt-get install npm")
    if not (NODE / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-fund", "--no-audit"], cwd=NODE, check=True, capture_output=True)
    installation.start_worker().ready()
    text = snippet("javascript", broker_url, audio)

    subprocess.run(
        ["node", "--input-type=module", "-e", text],
        cwd=NODE,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert_completed(installation)
