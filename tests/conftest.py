"""Fixtures for every part of the test suite: real brokers and a clean environment."""

import os
import signal
from collections.abc import Iterator
from itertools import count

import pytest

from ops.lib import ending
from ops.lib.servers import RabbitMqServer, RedisServer

_vhost_numbers = count(1)


def pytest_configure() -> None:
    """SIGTERM and SIGHUP end the run as Ctrl-C does: fixtures end their servers first."""
    ending.catch_signals(lambda number: pytest.exit.Exception("ended by a signal", 128 + number))


def require(available: bool, reason: str) -> None:
    """Skip the test on a laptop, and fail it in CI, when something it needs is not there."""
    if available:
        return
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"CI must run this test: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def heeded_signals() -> Iterator[None]:
    """Commands that the test starts react to SIGINT and SIGHUP, even if this test run ignores them.

    A shell's background job ignores SIGINT, and `nohup` makes a process ignore SIGHUP; child processes
    inherit that.
    """
    ignored = [one for one in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(one) == signal.SIG_IGN]
    for number in ignored:
        # A handler that does nothing: this run still ignores the signal, and `exec` resets the handler
        # to the default in the child process.
        signal.signal(number, lambda *_: None)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the machine's own CORTI_* variables from the environment of each test."""
    for name in list(os.environ):
        if name.upper().startswith("CORTI_"):
            monkeypatch.delenv(name)


@pytest.fixture
def no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library for object stores reads the environment by itself: it shall find nothing there."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    # Where it looks for an identity if nothing else is given.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis server that all tests share; a test that breaks it must repair it."""
    require(*RedisServer.available())
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The shared Redis server, emptied."""
    redis_server.start()
    with redis_server.cli_client() as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMqServer]:
    """A RabbitMQ node that all tests share; a test that breaks it must repair it."""
    require(*RabbitMqServer.available())
    with RabbitMqServer() as server:
        yield server


@pytest.fixture
def rabbitmq_url(rabbitmq_server: RabbitMqServer) -> Iterator[str]:
    """A virtual host of the test's own on the shared RabbitMQ node."""
    rabbitmq_server.start()
    vhost = f"test-{next(_vhost_numbers)}"
    yield rabbitmq_server.add_vhost(vhost)
    rabbitmq_server.start()
    rabbitmq_server.delete_vhost(vhost)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Each supported broker in turn, empty."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url
