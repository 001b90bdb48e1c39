"""The broker goes away and comes back while jobs run: no job is lost or runs twice, no worker restarts."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ops.lib import queues
from ops.lib.servers import RabbitMqServer, RedisServer
from ops.sandbox import launch
from tests.conftest import require
from tests.system.audio import clip
from tests.system.installation import Installation

JOBS, SECONDS = 20, 20.0

Break = Callable[[], None]


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis of the test's own, with an append-only file, as a broker needs it."""
    require(*RedisServer.available())
    with RedisServer(appendonly=True) as server:
        yield server


@pytest.fixture
def on_redis(own_redis: RedisServer, sandbox: launch.Sandbox, tmp_path: Path) -> Iterator[Installation]:
    with ExitStack() as stack:
        box = stack.enter_context(queues.connect(own_redis.url))
        yield Installation(own_redis.url, own_redis.url, sandbox, box, tmp_path, stack)


@pytest.fixture
def on_rabbitmq(
    rabbitmq_url: str, own_redis: RedisServer, sandbox: launch.Sandbox, tmp_path: Path
) -> Iterator[Installation]:
    with ExitStack() as stack:
        box = stack.enter_context(queues.connect(rabbitmq_url))
        yield Installation(rabbitmq_url, own_redis.url, sandbox, box, tmp_path, stack)


def assert_survives(
    installation: Installation, path: Path, break_it: Break, *, workers: int = 2, **settings: object
) -> None:
    """Run jobs, break something in mid-stream, and assert that every job ends once, on one stream."""
    sha256 = clip(path, SECONDS, seed=1)
    jobs = [installation.job(path) for _ in range(JOBS)]
    for _ in range(workers):
        installation.start_worker(**settings).ready()
    installation.put(*jobs)
    installation.wait_for_streams(JOBS)

    break_it()

    box = queues.connect(installation.broker_url)
    with box:
        installation.box = box
        finals = installation.finals(JOBS, timeout=120)
        installation.no_more_finals(3)
        assert installation.outcomes(finals) == {"completed": JOBS}
        records = installation.streams()
        assert len(records) == JOBS, "a job was streamed twice"
        assert all(record["sha256"] == sha256 for record in records)
        assert installation.sandbox.stats(summary=True)["overlaps"] == 0
        assert all(worker.process.poll() is None for worker in installation.workers), "a worker restarted"
        after = installation.job(path, pace=10)
        installation.put(after)
        assert installation.outcomes(installation.finals(1, timeout=60)) == {"completed": 1}


def test_redis_as_broker_is_restarted(on_redis: Installation, own_redis: RedisServer, tmp_path: Path) -> None:
    def restart() -> None:
        own_redis.stop()
        time.sleep(4)
        own_redis.start()

    assert_survives(on_redis, tmp_path / "a.wav", restart)


def test_redis_kills_every_client_connection(
    on_redis: Installation, own_redis: RedisServer, tmp_path: Path
) -> None:
    def kill_clients() -> None:
        with own_redis.cli_client() as client:
            for kind in ("normal", "pubsub"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    assert_survives(on_redis, tmp_path / "a.wav", kill_clients)


def test_redis_freezes_for_twenty_seconds(
    on_redis: Installation, own_redis: RedisServer, tmp_path: Path
) -> None:
    def freeze() -> None:
        with own_redis.frozen():
            time.sleep(20)

    assert_survives(on_redis, tmp_path / "a.wav", freeze)


def test_rabbitmq_is_restarted(
    on_rabbitmq: Installation, rabbitmq_server: RabbitMqServer, tmp_path: Path
) -> None:
    def restart() -> None:
        rabbitmq_server.kill()
        rabbitmq_server.start()

    assert_survives(on_rabbitmq, tmp_path / "a.wav", restart)


def test_the_rabbitmq_application_is_stopped_and_started(
    on_rabbitmq: Installation, rabbitmq_server: RabbitMqServer, tmp_path: Path
) -> None:
    def restart() -> None:
        rabbitmq_server.stop_app()
        time.sleep(4)
        rabbitmq_server.start_app()

    assert_survives(on_rabbitmq, tmp_path / "a.wav", restart)


def test_rabbitmq_closes_every_client_connection(
    on_rabbitmq: Installation, rabbitmq_server: RabbitMqServer, tmp_path: Path
) -> None:
    assert_survives(on_rabbitmq, tmp_path / "a.wav", lambda: rabbitmq_server.close_all_connections("a test"))


def test_redis_beside_rabbitmq_is_restarted_empty(
    on_rabbitmq: Installation, own_redis: RedisServer, tmp_path: Path
) -> None:
    """Redis loses its data: workers write their claims again, and no fence becomes lower."""
    before: dict[str, int] = {}

    def fences() -> dict[str, int]:
        with own_redis.cli_client() as client:
            names = list(client.scan_iter("corti:v1:job:*"))
            return {str(name): int(str(client.hget(name, "fence"))) for name in names}

    def empty() -> None:
        before.update(fences())
        own_redis.stop()
        time.sleep(4)
        own_redis.start()
        with own_redis.cli_client() as client:
            client.flushall()
        on_rabbitmq.until(lambda: len(fences()) == JOBS, 15)
        assert all(fence >= before[name] for name, fence in fences().items())

    assert_survives(on_rabbitmq, tmp_path / "a.wav", empty, lease=9)
    assert len(before) == JOBS
