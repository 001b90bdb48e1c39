"""Calls of jobs to Redis and to Corti, which a few shared threads make."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from worker.concurrency.offload import OffloadExecutor
from worker.contract.errors import Reason, TransientError

job: ContextVar[str] = ContextVar("job", default="none")


class Port:
    """A port that a job calls."""

    def __init__(self) -> None:
        self.callers: list[threading.Thread] = []

    def add(self, first: int, *, second: int) -> int:
        self.callers.append(threading.current_thread())
        return first + second

    def fail(self) -> None:
        raise TransientError(Reason.UPSTREAM_UNAVAILABLE, "away")

    def name(self) -> str:
        return job.get()


@pytest.fixture
def offload() -> Iterator[OffloadExecutor]:
    with OffloadExecutor("offload", 2, lambda: None) as made:
        yield made


def test_a_call_is_made_on_a_thread_of_the_offload_and_answered_here(offload: OffloadExecutor) -> None:
    port = Port()
    assert offload.wrap(port.add)(1, second=2) == 3
    assert port.callers != [threading.current_thread()]


def test_what_a_call_raises_is_raised_here(offload: OffloadExecutor) -> None:
    with pytest.raises(TransientError, match="away"):
        offload.call(Port().fail)


def test_a_call_sees_the_context_of_its_job(offload: OffloadExecutor) -> None:
    job.set("visit-1")
    assert offload.call(Port().name) == "visit-1"


def test_a_call_within_a_call_does_not_wait() -> None:
    with OffloadExecutor("offload", 1, lambda: None) as offload:
        add = offload.wrap(Port().add)
        assert offload.call(lambda: add(1, second=1)) == 2


def test_no_more_calls_are_made_at_the_same_time_than_there_are_threads(offload: OffloadExecutor) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def busy() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with lock:
            now -= 1

    with ThreadPoolExecutor(8) as jobs:
        for done in [jobs.submit(offload.call, busy) for _ in range(16)]:
            done.result()
    assert most == 2


def test_each_call_gives_way_first() -> None:
    order: list[str] = []
    with OffloadExecutor("offload", 1, lambda: order.append("gave way")) as offload:
        offload.call(lambda: order.append("called"))
    assert order == ["gave way", "called"]
