"""The shared fixtures: brokers are empty, the environment is clean, and CI skips no test."""

import os
from collections.abc import Iterator

import pytest
from kombu.connection import Connection

from tests.conftest import require


@pytest.mark.parametrize("round_number", [1, 2])
def test_each_test_finds_its_broker_empty(broker_url: str, round_number: int) -> None:
    with Connection(broker_url) as connection:
        queue = connection.SimpleQueue("jobs")
        with pytest.raises(queue.Empty):
            queue.get(block=False)
        queue.put({"round": round_number})
        assert queue.get(timeout=5).payload == {"round": round_number}
        queue.put("left over")
        queue.close()


@pytest.fixture(scope="module", autouse=True)
def setting_of_the_machine() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("CORTI_CLIENT_SECRET", "not for tests")
    yield
    patch.undo()


def test_no_setting_of_the_machine_reaches_a_test() -> None:
    assert not [name for name in os.environ if name.startswith("CORTI_")]


def test_a_missing_server_skips_on_a_laptop_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    require(True, "")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install it"):
        require(False, "install it")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI must run this test: install it"):
        require(False, "install it")
