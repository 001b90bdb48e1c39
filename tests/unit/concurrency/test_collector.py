"""The schedule of garbage collections: in quiet moments, and in busy ones only after a limited time."""

import gc
from threading import Event

import pytest

from tests.fakes import FakeClock
from worker.concurrency import collector
from worker.concurrency.collector import CROWDED, PATIENCE, Collector


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The full collections that were made. They are faked: real ones take long in a large process."""
    had: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda generation=2: had.append(generation))
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, 0))
    return had


def test_a_quiet_moment_is_used(looks: list[int]) -> None:
    idle = Collector(lambda: False, FakeClock())
    assert [idle.turn() for _ in range(3)] == [True] * 3
    assert looks == [2] * 3


def test_a_busy_process_is_left_alone_until_patience_ends(looks: list[int]) -> None:
    busy = Collector(lambda: True, FakeClock())
    # Twice, because patience must begin anew after a collection.
    for number in (1, 2):
        turns = [busy.turn() for _ in range(PATIENCE)]
        assert turns == [False] * (PATIENCE - 1) + [True]
        assert len(looks) == number


def test_a_busy_process_is_not_left_alone_while_objects_pile_up(
    looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Collector(lambda: True, FakeClock())
    assert not busy.turn()
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, CROWDED))
    assert busy.turn()
    assert len(looks) == 1


def test_after_a_collection_in_a_quiet_moment_patience_begins_anew(looks: list[int]) -> None:
    busy = True
    collector = Collector(lambda: busy, FakeClock())
    assert not any(collector.turn() for _ in range(PATIENCE - 1))
    busy = False
    assert collector.turn()
    busy = True
    assert not any(collector.turn() for _ in range(PATIENCE - 1))
    assert len(looks) == 1


def test_while_it_runs_python_makes_no_full_collection_and_afterwards_it_does_again(
    looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "PERIOD", 0.001)
    monkeypatch.setattr(gc, "freeze", lambda: looks.append(-1))
    monkeypatch.setattr(gc, "unfreeze", lambda: looks.append(-2))
    before = gc.get_threshold()
    monkeypatch.setattr(collector, "PATIENCE", 1_000_000)
    asked = Event()

    def busy() -> bool:
        asked.set()
        return True

    with Collector(busy, FakeClock()):
        assert gc.get_threshold()[2] > 1_000_000
        assert asked.wait(5), "Python must make full collections by itself again"
    assert gc.get_threshold() == before
    assert looks == [2, -1, -2]
