"""One sandbox for most tests, cleaned before each; tests that need other settings start their own."""

from collections.abc import Iterator

import pytest

from ops.sandbox.launch import Sandbox, start
from tests.sandbox.client import Client


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with start() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The shared server without faults and with zeroed counters."""
    shared_sandbox.clear_faults()
    shared_sandbox.reset()
    yield shared_sandbox
    shared_sandbox.clear_faults()


@pytest.fixture(scope="session")
def hasty_sandbox() -> Iterator[Sandbox]:
    """A server that waits 0.2 s for a configuration; a test that switches a fault on must switch it off."""
    with start(config_deadline=0.2, tls_port=None) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def scaled_sandbox() -> Iterator[Sandbox]:
    """A server with facts every 4 s, and with all other intervals shortened to a tenth."""
    with start(facts_every=4, time_scale=0.1, tls_port=None) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Client:
    return Client(sandbox)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def any_client(request: pytest.FixtureRequest, sandbox: Sandbox) -> Client:
    """A client over http and ws, then one over https and wss."""
    return Client(sandbox, secure=request.param)
