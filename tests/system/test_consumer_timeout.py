"""A job takes longer than RabbitMQ's consumer timeout, so its channel is closed: one stream, one result."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ops.lib import queues
from ops.lib.servers import RabbitMqServer
from ops.sandbox import launch
from tests.conftest import require
from tests.system.audio import clip
from tests.system.installation import Installation


@pytest.fixture
def impatient(redis_url: str, sandbox: launch.Sandbox, tmp_path: Path) -> Iterator[Installation]:
    """An installation on a RabbitMQ node that waits 8 s for an acknowledgement."""
    require(*RabbitMqServer.available())
    with ExitStack() as stack:
        server = stack.enter_context(RabbitMqServer(consumer_timeout_ms=8000, channel_tick_interval_ms=1000))
        box = stack.enter_context(queues.connect(server.url))
        yield Installation(server.url, redis_url, sandbox, box, tmp_path, stack)


def test_a_job_beyond_the_consumer_timeout_is_streamed_once(impatient: Installation, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    clip(path, 20.0, seed=1)
    worker = impatient.start_worker(lease=4).ready()
    impatient.put(impatient.job(path))

    finals = impatient.finals(1, timeout=60)
    impatient.no_more_finals(3)

    assert impatient.outcomes(finals) == {"completed": 1}
    assert len(impatient.streams()) == 1
    assert worker.process.poll() is None
    assert any(record.get("event") == "consumer_timeout_not_enforced" for record in worker.records())
