"""Calls that may block for ever, and callers that stop waiting for them."""

import threading
from collections.abc import Callable, Iterator

import pytest

from worker.audio.blocking import BlockingCalls


@pytest.fixture
def calls() -> Iterator[BlockingCalls]:
    made = BlockingCalls()
    yield made
    made.close()


class Left(Exception):
    pass


def leaving_after(times: int) -> Callable[[], None]:
    """A check that raises `Left` when it is called for the so many-th time."""
    left = [None] * times

    def check() -> None:
        left.pop()
        if not left:
            raise Left

    return check


def stay() -> None:
    pass


def test_a_call_returns_what_it_returns_and_raises_what_it_raises(calls: BlockingCalls) -> None:
    assert calls.call(lambda: 7, stay) == 7
    assert calls.call(lambda: None, stay) is None
    with pytest.raises(KeyError):
        calls.call(lambda: {"a": 1}["x"], stay)


def test_threads_are_used_again(calls: BlockingCalls) -> None:
    threads = {calls.call(threading.get_ident, stay) for _ in range(20)}
    assert threading.get_ident() not in threads
    assert len(threads) <= 2  # a thread may not be idle again before the next call


def test_a_caller_that_leaves_does_not_wait_and_the_late_result_is_discarded(calls: BlockingCalls) -> None:
    over, gone = threading.Event(), threading.Event()
    discarded: list[str] = []

    def hanging() -> str:
        over.wait(60)
        return "late"

    def discard(result: str) -> None:
        discarded.append(result)
        gone.set()

    with pytest.raises(Left):
        calls.call(hanging, leaving_after(1), discard)
    assert not over.is_set()
    assert calls.call(lambda: 1, stay) == 1, "a call that hangs must not hold up others"
    over.set()
    assert gone.wait(5)
    assert discarded == ["late"]


def test_the_error_of_a_call_whose_caller_has_left_is_dropped(calls: BlockingCalls) -> None:
    over, discarded = threading.Event(), list[int]()

    def failing() -> int:
        over.wait(60)
        raise ValueError

    with pytest.raises(Left):
        calls.call(failing, leaving_after(1), discarded.append)
    over.set()
    assert calls.call(lambda: 1, stay) == 1
    assert discarded == []
