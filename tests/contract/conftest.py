"""Fixtures of the contract tests: a sandbox with TLS, servers to break, fakes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.transport import redis as kombu_redis

from ops.lib.servers import RabbitMqServer, RedisServer
from ops.sandbox.launch import Sandbox, start
from tests import recordings
from tests.conftest import require
from tests.contract.corti_side import CortiSide, corti_side
from tests.contract.listening import audio_sources
from tests.contract.relay import Relay
from tests.contract.studio import Studio, studio
from tests.contract.web_host import WebHost
from tests.fakes import FakeClock, FakeRecorder
from worker.audio.source import Sources
from worker.broker import redis_corrections


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings."""
    require(*recordings.available())
    return tmp_path_factory.mktemp("recordings")


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
    """A clock that only tests move."""
    return FakeClock()


@pytest.fixture
def recorder() -> FakeRecorder:
    """A recorder that keeps all measurements for tests to read."""
    return FakeRecorder()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis server of the test's own, which it may stop and start."""
    require(*RedisServer.available())
    with RedisServer() as server:
        yield server


@pytest.fixture
def rabbitmq_relay(rabbitmq_url: str, rabbitmq_server: RabbitMqServer) -> Iterator[Relay]:
    """A relay to RabbitMQ, with which a test can cut and restore the connection at once."""
    with Relay(rabbitmq_server.ports.amqp, rabbitmq_url) as relay:
        yield relay


@pytest.fixture(scope="session")
def web_host() -> Iterator[WebHost]:
    """An HTTP server to which tests add their pages."""
    with WebHost() as running:
        yield running


@pytest.fixture
def host(web_host: WebHost) -> WebHost:
    """The HTTP server without pages."""
    web_host.pages.clear()
    web_host.seen.clear()
    return web_host


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that audio files must lie in."""
    made = tmp_path / "audio"
    made.mkdir()
    return made


@pytest.fixture
def sources(root: Path) -> Iterator[Sources]:
    """Sources of audio with short time-outs."""
    with audio_sources(root) as made:
        yield made


@pytest.fixture
def side(sandbox: Sandbox) -> Iterator[CortiSide]:
    """The worker's REST adapters against the sandbox."""
    with corti_side(sandbox) as made:
        yield made


@pytest.fixture
def room(side: CortiSide) -> Iterator[Studio]:
    """Streams to the sandbox over TLS."""
    with studio(side) as made:
        yield made


@pytest.fixture
def kombu_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore kombu after the test: `redis_corrections.install` replaces parts of it."""
    monkeypatch.setattr(kombu_redis.Channel, "_create_client", kombu_redis.Channel._create_client)
    monkeypatch.setattr(kombu_redis, "time", kombu_redis.time)
    monkeypatch.setattr(kombu_redis.QoS, "ack", kombu_redis.QoS.ack)
    monkeypatch.setattr(kombu_redis.QoS, "append", kombu_redis.QoS.append)
    monkeypatch.setattr(kombu_redis.Channel, "_brpop_start", kombu_redis.Channel._brpop_start)
    monkeypatch.setattr(kombu_redis.Channel, "_brpop_read", kombu_redis.Channel._brpop_read)
    monkeypatch.setattr(kombu_redis.QoS, "reject", kombu_redis.QoS.reject)
    monkeypatch.setattr(redis_corrections, "_forfeited", set())
    sweep = kombu_redis.MultiChannelPoller.maybe_restore_messages
    monkeypatch.setattr(kombu_redis.MultiChannelPoller, "maybe_restore_messages", sweep)
    monkeypatch.setattr(kombu_redis.QoS, "restore_unacked_once", kombu_redis.QoS.restore_unacked_once)
