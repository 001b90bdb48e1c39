"""A call that cannot wait in steps has the limits of a download all the same."""

import threading
from collections.abc import Iterator

import pytest

from worker.audio import speed
from worker.audio.blocking import BlockingCalls
from worker.audio.sockets import Wait
from worker.clock import SystemClock
from worker.concurrency.interrupt import Interrupt, Interrupted, InterruptReason
from worker.contract.errors import TransientError


@pytest.fixture
def calls() -> Iterator[BlockingCalls]:
    made = BlockingCalls()
    yield made
    made.close()


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Waiting for it is a call that does not return."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("answered", [False, True], ids=["the first answer", "a later one"])
def test_a_call_that_does_not_return_is_left_after_the_time_out(
    calls: BlockingCalls, never: threading.Event, *, answered: bool
) -> None:
    wait = Wait(Interrupt(), SystemClock(), 0.3, 0)
    if answered:
        wait.answered()
    with pytest.raises(TransientError) as failure:
        wait.until_returned(calls, never.wait)
    assert "did not answer in time" in failure.value.detail


def test_a_call_is_not_made_for_a_job_that_was_interrupted(calls: BlockingCalls) -> None:
    interrupt = Interrupt()
    interrupt.trigger(InterruptReason.DRAIN)
    made: list[bool] = []
    with pytest.raises(Interrupted):
        Wait(interrupt, SystemClock(), 9.0, 0).until_returned(calls, lambda: made.append(True))
    assert made == []


def test_the_waiting_for_calls_counts_for_the_speed(
    calls: BlockingCalls, never: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "WINDOW", 0.4)
    wait = Wait(Interrupt(), SystemClock(), 600.0, 0.25)
    wait.answered()
    with pytest.raises(TransientError) as failure:
        wait.until_returned(calls, never.wait)
    assert "CORTI_WORKER_DOWNLOAD_MIN_SPEED" in failure.value.detail


def test_what_a_call_returns_or_raises_comes_out(calls: BlockingCalls) -> None:
    wait = Wait(Interrupt(), SystemClock(), 9.0, 0)
    assert wait.until_returned(calls, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        wait.until_returned(calls, lambda: 1 // 0)
