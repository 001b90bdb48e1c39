"""Fixtures of the system under test: one broker, one Redis, one sandbox, any number of workers."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ops.lib import queues
from ops.sandbox import launch
from tests.system.installation import Installation


@pytest.fixture
def sandbox() -> Iterator[launch.Sandbox]:
    """A sandbox of the test's own, with TLS."""
    with launch.start() as running:
        yield running


@pytest.fixture
def installation(
    broker_url: str, redis_url: str, sandbox: launch.Sandbox, tmp_path: Path
) -> Iterator[Installation]:
    """Queues and workers on each broker in turn."""
    with ExitStack() as stack:
        box = stack.enter_context(queues.connect(broker_url))
        yield Installation(broker_url, redis_url, sandbox, box, tmp_path, stack)
