"""Heartbeats of loops: of one that runs, of one that waits for a dependency, and of one that has ended."""

from contextvars import copy_context

import pytest

from tests.fakes import FakeClock
from worker.concurrency.heartbeat import Heartbeat, waiting

STUCK = "the loop has not turned for too long"


def test_a_loop_that_has_not_begun_is_off_duty() -> None:
    heartbeat = Heartbeat(FakeClock(), limit=30)
    assert (heartbeat.beating, heartbeat.check()) == (False, None)


def test_a_loop_is_stuck_when_it_misses_its_limit_and_well_when_it_turns_again() -> None:
    clock = FakeClock()
    heartbeat = Heartbeat(clock, limit=30)
    heartbeat.beat()
    clock.advance(30)
    assert (heartbeat.beating, heartbeat.check()) == (True, None)
    clock.advance(0.1)
    assert (heartbeat.beating, heartbeat.check()) == (True, "the loop has not turned for too long")
    heartbeat.beat()
    assert heartbeat.check() is None


def test_a_loop_at_rest_is_never_stuck() -> None:
    clock = FakeClock()
    heartbeat = Heartbeat(clock, limit=30)
    heartbeat.beat()
    heartbeat.rest()
    clock.advance(1000)
    assert (heartbeat.beating, heartbeat.check()) == (False, None)


def test_a_loop_that_beat_at_time_zero_is_on_duty() -> None:
    heartbeat = Heartbeat(FakeClock(0.0), limit=30)
    heartbeat.beat()
    assert heartbeat.beating


def test_a_loop_that_waits_for_a_dependency_is_alive_however_long() -> None:
    clock = FakeClock()
    heartbeat = Heartbeat(clock, limit=30)
    heartbeat.beat()
    with heartbeat.kept_by_this_thread():
        with waiting():
            clock.advance(1000)
            assert heartbeat.check() is None
            with waiting():
                clock.advance(1000)
            assert heartbeat.check() is None, "the outer wait has not ended"
            clock.advance(1000)
        assert heartbeat.check() is None, "the limit must begin anew after the wait"
        clock.advance(31)
        assert heartbeat.check() == STUCK


def test_a_wait_that_fails_is_over() -> None:
    clock = FakeClock()
    heartbeat = Heartbeat(clock, limit=30)
    heartbeat.beat()
    with heartbeat.kept_by_this_thread(), pytest.raises(OSError, match="away"), waiting():
        raise OSError("away")
    clock.advance(31)
    assert heartbeat.check() == STUCK


def test_a_wait_leaves_a_loop_off_duty_where_it_was() -> None:
    heartbeat = Heartbeat(FakeClock())
    with heartbeat.kept_by_this_thread(), waiting():
        pass
    assert not heartbeat.beating


def test_a_wait_belongs_to_the_loop_of_its_thread_and_to_calls_made_for_it_elsewhere() -> None:
    clock = FakeClock()
    heartbeat, other = Heartbeat(clock, limit=30), Heartbeat(clock, limit=30)
    other.beat()
    heartbeat.beat()
    with heartbeat.kept_by_this_thread():
        context = copy_context()

    def call() -> tuple[str | None, str | None]:
        with waiting():
            clock.advance(31)
            return heartbeat.check(), other.check()

    assert context.run(call) == (None, STUCK)
    with waiting():
        pass  # this thread keeps no heartbeat


def test_a_loop_that_ended_by_an_error_shows_at_once_and_for_good() -> None:
    heartbeat = Heartbeat(FakeClock())
    heartbeat.broke("ZeroDivisionError")
    heartbeat.beat()
    heartbeat.rest()
    assert heartbeat.check() == "its thread ended by ZeroDivisionError"
