"""The broker hangs for longer than a thread may show no sign of life: `/livez` answers 200 all the time.

Otherwise Kubernetes would end a pod full of consultations, and the next pod could do nothing either.
"""

import time
from pathlib import Path

import pytest

from ops.lib import queues
from ops.lib.servers import RabbitMqServer, RedisServer
from ops.lib.worker_process import WorkerProcess
from tests.system.audio import clip
from tests.system.installation import Installation
from worker.concurrency.heartbeat import STUCK_SECONDS

OUTAGE = STUCK_SECONDS + 10


def assert_alive_through(outage: float, worker: WorkerProcess) -> None:
    """Ask `/livez` each second; it must always answer 200."""
    until = time.monotonic() + outage
    while time.monotonic() < until:
        assert worker.get("/livez")[0] == 200, worker.get("/livez")[1]
        time.sleep(1)


def started(installation: Installation, tmp_path: Path) -> tuple[WorkerProcess, str]:
    """Start a worker with a consultation that lasts longer than the outage."""
    clip(tmp_path / "long.wav", OUTAGE + 5, seed=1)
    worker = installation.start_worker().ready()
    job = installation.job(tmp_path / "long.wav")
    installation.put(job)
    installation.wait_for_streams(1)
    return worker, job["job_id"]


@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
def test_rabbitmq_accepts_no_message_while_an_invalid_one_waits(
    installation: Installation, rabbitmq_server: RabbitMqServer, tmp_path: Path
) -> None:
    clip(tmp_path / "short.wav", 1.0, seed=1)
    bad = b'{"job_id": "no-job"}'
    job = installation.job(tmp_path / "short.wav")
    installation.put(bad, job)
    rabbitmq_server.ctl("set_vm_memory_high_watermark", "0.0000001")
    try:
        worker = installation.start_worker()
        installation.until(lambda: worker.health_port() is not None, 30)
        assert_alive_through(OUTAGE, worker)
        assert worker.metric("corti_publish_retries_total") > 0, "the broker accepted the dead letter"
    finally:
        rabbitmq_server.ctl("set_vm_memory_high_watermark", "0.4")

    (final,) = installation.finals(1, timeout=60).values()
    letters = installation.dead(5, timeout=5)

    assert (final["subject"], final["type"]) == (job["job_id"], "corti.job.completed.v1")
    assert {letter["payload"] for letter in letters} == {bad.decode()}
    assert len({letter["id"] for letter in letters}) == 1, "a repeated dead letter must bear the same id"


def test_the_broker_hangs(installation: Installation, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    worker, job_id = started(installation, tmp_path)
    server: RedisServer | RabbitMqServer = request.getfixturevalue(f"{installation.broker}_server")
    with server.frozen():
        assert_alive_through(OUTAGE, worker)
    installation.box = queues.connect(installation.broker_url)
    (final,) = installation.finals(1, timeout=90).values()
    assert (final["subject"], final["type"]) == (job_id, "corti.job.completed.v1")
    installation.box.close()
