"""The interrupt of a job: the first reason stands, and everybody who waits is woken."""

import threading
from weakref import WeakSet

import pytest

from worker.concurrency.interrupt import Interrupt, Interrupted, Why


def test_without_an_interrupt_nothing_happens() -> None:
    interrupt = Interrupt()
    interrupt.check()
    interrupt.wait(0)
    assert interrupt.why is None


@pytest.mark.parametrize("why", Why)
def test_an_interrupt_raises_its_reason_whenever_the_job_looks(why: Why) -> None:
    interrupt = Interrupt()
    interrupt.trigger(why)
    for look in interrupt.check, interrupt.check, lambda: interrupt.wait(60):
        with pytest.raises(Interrupted) as caught:
            look()
        assert caught.value.why is why


def test_the_first_reason_stands() -> None:
    interrupt, woken = Interrupt(), list[Why | None]()
    interrupt.on_trigger(lambda: woken.append(interrupt.why))
    interrupt.trigger(Why.CLAIM_LOST)
    interrupt.trigger(Why.DRAIN)
    assert interrupt.why is Why.CLAIM_LOST
    assert woken == [Why.CLAIM_LOST]


def test_whoever_comes_late_is_woken_at_once() -> None:
    interrupt, woken = Interrupt(), list[str]()
    interrupt.on_trigger(lambda: woken.append("early"))
    interrupt.trigger(Why.DRAIN)
    interrupt.on_trigger(lambda: woken.append("late"))
    assert woken == ["early", "late"]


def test_another_threads_interrupt_ends_a_wait() -> None:
    interrupt, seen = Interrupt(), list[Why]()

    def job() -> None:
        try:
            interrupt.wait(60)
        except Interrupted as interrupted:
            seen.append(interrupted.why)

    thread = threading.Thread(target=job)
    thread.start()
    interrupt.trigger(Why.EXPIRED)
    thread.join(10)
    assert seen == [Why.EXPIRED]


def test_what_remains_is_what_the_job_says() -> None:
    interrupt = Interrupt()
    assert interrupt.remaining() is None
    interrupt.expect(lambda: 12.5)
    assert interrupt.remaining() == 12.5


def test_what_is_over_is_not_woken_and_not_kept() -> None:
    """A job in an outage opens one stream after the other."""

    class Stream:
        woken = False

        def wake(self) -> None:
            self.woken = True

    interrupt, kept, streams = Interrupt(), Stream(), WeakSet[Stream]()
    interrupt.on_trigger(kept.wake)
    for _ in range(100):
        stream = Stream()
        streams.add(stream)
        interrupt.on_trigger(stream.wake)
        interrupt.forget(stream.wake)
    del stream
    assert len(streams) == 0
    interrupt.forget(Stream().wake)
    interrupt.trigger(Why.DRAIN)
    assert kept.woken
