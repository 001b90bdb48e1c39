"""The version that the present one has to get on with, as it was committed."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from tests.conftest import require
from tests.system.installation import HERE

#: The worker that is taken for the old one. A release moves it to the release before. It runs with the
#: libraries that are installed here, so it must not be older than their pins.
BASELINE = "050dfd84120e7c44c5f5677030865f6410c68731"


def old_source(folder: Path) -> Path:
    """A directory with the baseline's `worker`; the test skips, and fails in CI, where history is missing."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", BASELINE, "worker"], cwd=HERE, capture_output=True, check=False
    )
    require(
        archive.returncode == 0,
        f"the old worker is commit {BASELINE[:7]}, which is not here: run git fetch --unshallow",
    )
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder
