"""Fixtures of the contract tests: a sandbox with TLS, servers to break, fakes."""

from collections.abc import Iterator

import pytest

from ops.lib.servers import RabbitMqServer, RedisServer
from ops.sandbox.launch import Sandbox, start
from tests.conftest import require
from tests.contract.fakes import FakeClock, FakeRecorder
from tests.contract.relay import Relay


@pytest.fixture(scope="session")
def corti() -> Iterator[Sandbox]:
    """One sandbox for all contract tests."""
    with start() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(corti: Sandbox) -> Iterator[Sandbox]:
    """The sandbox without faults and with its counters at zero."""
    corti.clear_faults()
    corti.reset()
    yield corti
    corti.clear_faults()


@pytest.fixture
def clock() -> FakeClock:
    """Time that does not pass by itself."""
    return FakeClock()


@pytest.fixture
def recorder() -> FakeRecorder:
    """Measurements, to be looked at."""
    return FakeRecorder()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis server that a test may stop and start as it likes."""
    require(*RedisServer.available())
    with RedisServer() as server:
        yield server


@pytest.fixture
def rabbitmq_relay(rabbitmq_url: str, rabbitmq_server: RabbitMqServer) -> Iterator[Relay]:
    """The way to RabbitMQ, which can be cut and mended in no time."""
    with Relay(rabbitmq_server.ports.amqp, rabbitmq_url) as relay:
        yield relay
