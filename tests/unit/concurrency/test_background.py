"""Background threads: `/livez` shows a thread that an error has ended, but not a single failed turn."""

import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from tests.fakes import FakeClock
from worker.concurrency.background import MOST_BROKEN_TURNS, BackgroundThread, PeriodicThread
from worker.concurrency.heartbeat import Heartbeat

PATIENCE = 10.0


def broken() -> None:
    raise ZeroDivisionError("Ada Example")


def run(loop: Callable[[], None]) -> Heartbeat:
    heartbeat = Heartbeat(FakeClock())
    thread = BackgroundThread("loop", loop, heartbeat)
    thread.start()
    assert thread.join(PATIENCE)
    return heartbeat


def test_a_thread_that_ends_as_it_should_is_off_duty() -> None:
    heartbeat = run(lambda: None)
    assert (heartbeat.check(), heartbeat.beating) == (None, False)


@pytest.mark.parametrize("error", [ZeroDivisionError("Ada Example"), SystemExit(1)])
def test_a_thread_that_an_error_ended_shows_with_the_type_of_the_error_only(error: BaseException) -> None:
    def loop() -> None:
        raise error

    with capture_logs() as logs:
        heartbeat = run(loop)
    kind = type(error).__name__
    assert heartbeat.check() == f"its thread ended by {kind}"
    assert logs == [{"event": "thread_ended", "thread": "loop", "error": kind, "log_level": "critical"}]


def test_a_thread_that_was_never_started_can_be_joined() -> None:
    assert BackgroundThread("loop", broken, Heartbeat(FakeClock())).join(0)


def test_a_periodic_thread_takes_turns_until_it_is_stopped() -> None:
    turns = threading.Semaphore(0)
    thread = PeriodicThread("turns", turns.release, 0.001, FakeClock())
    thread.start()
    for _ in range(5):
        assert turns.acquire(timeout=PATIENCE)
    assert thread.heartbeat.beating
    assert thread.stop(PATIENCE)
    assert (thread.heartbeat.check(), thread.heartbeat.beating) == (None, False)


def test_a_turn_that_breaks_is_repeated_and_forgotten_after_a_good_one() -> None:
    done = threading.Event()
    turns: list[int] = []

    def turn() -> None:
        turns.append(len(turns))
        if len(turns) > 3 * MOST_BROKEN_TURNS:
            done.set()
        elif len(turns) % MOST_BROKEN_TURNS:
            broken()

    thread = PeriodicThread("turns", turn, 0.001, FakeClock())
    thread.start()
    assert done.wait(PATIENCE)
    assert thread.heartbeat.check() is None
    assert thread.stop(PATIENCE)


def test_a_thread_whose_every_turn_breaks_ends_and_shows() -> None:
    turns: list[None] = []

    def turn() -> None:
        turns.append(None)
        broken()

    thread = PeriodicThread("turns", turn, 0.001, FakeClock(), at_once=False)
    thread.start()
    assert thread._thread.join(PATIENCE)
    assert len(turns) == MOST_BROKEN_TURNS
    assert thread.heartbeat.check() == "its thread ended by ZeroDivisionError"


def test_a_thread_that_hangs_shows_after_its_limit_which_allows_for_its_period() -> None:
    clock = FakeClock()
    go_on, inside = threading.Event(), threading.Event()

    def turn() -> None:
        inside.set()
        assert go_on.wait(PATIENCE)

    thread = PeriodicThread("turns", turn, 100.0, clock)
    thread.start()
    assert inside.wait(PATIENCE)
    clock.advance(330)
    assert thread.heartbeat.check() is None
    clock.advance(1)
    assert thread.heartbeat.check() == "the loop has not turned for too long"
    go_on.set()
    assert thread.stop(PATIENCE)
