"""The version that the present one has to get on with, as it was committed."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import kombu

from tests.conftest import require
from tests.system.installation import HERE
from worker.broker.topology import DEAD, DELIVERY_LIMIT, JOBS, WORK

#: The worker that is taken for the old one. A release moves it to the release before. It runs with the
#: libraries that are installed here, so it must not be older than their pins.
BASELINE = "050dfd84120e7c44c5f5677030865f6410c68731"


def declare_as_before(url: str) -> None:
    """Declare the queues on RabbitMQ that the baseline would refuse from this version's hands.

    It does not use a queue that was made with other arguments. So an installation that goes on from it, or
    back to it, has its queues.
    """
    with kombu.Connection(url) as connection:
        for name, more in (JOBS, {}), (WORK, {"x-consumer-timeout": 21_600_000}):
            arguments = {
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": DEAD,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
                **more,
            }
            channel = connection.default_channel
            channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)


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
