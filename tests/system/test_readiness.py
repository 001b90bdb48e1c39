"""A worker that has not reached Redis yet is not ready: otherwise a rollout would go on with it."""

import time
from collections.abc import Iterator

import pytest

from ops.lib.servers import RedisServer
from tests.conftest import require
from tests.system.installation import Installation


@pytest.fixture
def away() -> Iterator[RedisServer]:
    require(*RedisServer.available())
    with RedisServer() as server:
        server.stop()
        yield server


def test_a_worker_that_starts_while_redis_is_away_is_ready_when_it_is_back(
    installation: Installation, away: RedisServer
) -> None:
    worker = installation.start_worker(redis_url=away.url, lease=6)
    installation.until(lambda: bool(worker.health_port()) and worker.get("/startupz")[0] == 200, 20)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        status, said = worker.get("/readyz")
        assert status == 503
        assert "redis: Redis " in said
        assert "consumer: " in said
        assert worker.get("/livez")[0] == 200
        time.sleep(0.1)
    away.start()
    worker.ready(20)
    assert "redis: ok" in worker.get("/readyz")[1]
