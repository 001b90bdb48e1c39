"""The connection breaks during a drain: the draining process reconnects, but takes no further delivery."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ops.lib import queues
from ops.lib.servers import RabbitMqServer, RedisServer
from ops.lib.worker_process import WorkerProcess
from tests.system.audio import clip
from tests.system.installation import Installation

GRACE = 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    clip(tmp_path / "long.wav", 8.0, seed=1)
    return tmp_path / "long.wav"


def server_of(installation: Installation, request: pytest.FixtureRequest) -> RedisServer | RabbitMqServer:
    server: RedisServer | RabbitMqServer = request.getfixturevalue(f"{installation.broker}_server")
    return server


def cut_every_connection(server: RedisServer | RabbitMqServer) -> None:
    if isinstance(server, RabbitMqServer):
        server.close_all_connections()
    else:
        with server.cli_client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@contextmanager
def away(server: RedisServer | RabbitMqServer) -> Iterator[None]:
    if not isinstance(server, RabbitMqServer):
        with server.frozen():
            yield
        return
    server.stop_app()
    try:
        yield
    finally:
        server.start_app()


def begin_drain(
    installation: Installation, path: Path, *, pace: float, grace: int
) -> tuple[WorkerProcess, str]:
    worker = installation.start_worker(grace=grace, lease=6, visibility_timeout=6).ready()
    job = installation.job(path, pace=pace)
    installation.put(job)
    installation.wait_for_streams(1)
    worker.process.send_signal(signal.SIGTERM)
    installation.until(lambda: '"draining": true' in worker.get("/status")[1], 5)
    return worker, job["job_id"]


def put_late(installation: Installation, path: Path) -> str:
    job = installation.job(path, pace=8)
    with queues.connect(installation.broker_url) as box:
        box.put(*queues.encode([job]))
    return str(job["job_id"])


def finals_elsewhere(installation: Installation, jobs: set[str]) -> None:
    """A new worker completes the jobs that are left: each once, at the first attempt, and no dead letters."""
    installation.box = queues.connect(installation.broker_url)  # our own connection was cut, too
    installation.start_worker(lease=6, visibility_timeout=6).ready()
    finals = installation.finals(len(jobs), timeout=60)
    assert set(finals) == jobs
    assert installation.outcomes(finals) == {"completed": len(jobs)}
    assert {event["data"]["attempts"] for event in finals.values()} == {1}, "an attempt was used"
    installation.no_more_finals(2)
    assert installation.dead(1, timeout=1) == []
    installation.box.close()


def events(worker: WorkerProcess, name: str) -> list[dict[str, Any]]:
    return [record for record in worker.records() if record.get("event") == name]


def test_a_job_that_ends_within_the_drain_ends_although_every_connection_broke(
    installation: Installation, path: Path, request: pytest.FixtureRequest
) -> None:
    worker, first = begin_drain(installation, path, pace=1, grace=20)
    time.sleep(0.7)  # by now the drain has cancelled Celery's consumer

    cut_every_connection(server_of(installation, request))
    late = put_late(installation, path)

    assert worker.process.wait(25) == 0
    completed = [record["job_id"] for record in events(worker, "job_completed")]
    assert completed == [first], "the draining worker ran another job"
    assert events(worker, "job_handed_back") == []
    finals_elsewhere(installation, {first, late})
    assert len(installation.streams()) == 2


def test_a_job_that_is_handed_back_by_a_drain_does_not_come_to_the_same_worker_again(
    installation: Installation, path: Path, request: pytest.FixtureRequest
) -> None:
    worker, first = begin_drain(installation, path, pace=0.5, grace=GRACE)
    installation.until(lambda: bool(events(worker, "job_handed_back")), 5)

    cut_every_connection(server_of(installation, request))
    late = put_late(installation, path)

    assert worker.process.wait(GRACE + 5) == 0
    assert [record["job_id"] for record in events(worker, "job_handed_back")] == [first]
    finals_elsewhere(installation, {first, late})


def test_a_broker_that_comes_back_during_a_drain_gets_no_consumer(
    installation: Installation, path: Path, request: pytest.FixtureRequest
) -> None:
    server = server_of(installation, request)
    worker = installation.start_worker(grace=25, lease=6, visibility_timeout=6).ready()
    job = installation.job(path, pace=0.6)
    installation.put(job)
    installation.wait_for_streams(1)
    with away(server):
        time.sleep(0.5)
        worker.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
    cut_every_connection(server)
    late = put_late(installation, path)

    assert worker.process.wait(30) == 0
    assert [record["job_id"] for record in events(worker, "job_completed")] == [job["job_id"]]
    finals_elsewhere(installation, {job["job_id"], late})
