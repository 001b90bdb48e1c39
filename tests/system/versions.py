"""The earlier version that the present one must be compatible with, taken from the history of git."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import kombu

from tests.conftest import require
from tests.system.installation import HERE
from worker.broker.topology import DEAD, DELIVERY_LIMIT, JOBS, WORK

#: The commit of the old worker. Each release sets it to the release before. The old worker runs with the
#: libraries that are installed here, so the commit must not be older than their pins.
BASELINE = "050dfd84120e7c44c5f5677030865f6410c68731"


def declare_as_before(url: str) -> None:
    """Declare the queues on RabbitMQ as the baseline does.

    The baseline refuses a queue that was declared with other arguments, as this version does it. An
    installation that is upgraded from the baseline, or rolled back to it, has the baseline's queues.
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
    """A directory with the baseline's `worker`. Without git's history, skip the test, or fail it in CI."""
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
