"""The interrupt of a job: the first reason counts, and everything that waits is woken."""

import threading
from weakref import WeakSet

import pytest

from worker.concurrency.interrupt import Interrupt, Interrupted, InterruptReason


def test_without_an_interrupt_nothing_happens() -> None:
    interrupt = Interrupt()
    interrupt.check()
    interrupt.wait(0)
    assert interrupt.reason is None


@pytest.mark.parametrize("why", InterruptReason)
def test_an_interrupt_raises_its_reason_whenever_the_job_looks(why: InterruptReason) -> None:
    interrupt = Interrupt()
    interrupt.trigger(why)
    for look in interrupt.check, interrupt.check, lambda: interrupt.wait(60):
        with pytest.raises(Interrupted) as caught:
            look()
        assert caught.value.reason is why


def test_the_first_reason_stands() -> None:
    interrupt, woken = Interrupt(), list[InterruptReason | None]()
    interrupt.on_trigger(lambda: woken.append(interrupt.reason))
    interrupt.trigger(InterruptReason.CLAIM_LOST)
    interrupt.trigger(InterruptReason.DRAIN)
    assert interrupt.reason is InterruptReason.CLAIM_LOST
    assert woken == [InterruptReason.CLAIM_LOST]


def test_a_waker_that_registers_after_the_interrupt_is_called_at_once() -> None:
    interrupt, woken = Interrupt(), list[str]()
    interrupt.on_trigger(lambda: woken.append("early"))
    interrupt.trigger(InterruptReason.DRAIN)
    interrupt.on_trigger(lambda: woken.append("late"))
    assert woken == ["early", "late"]


def test_another_threads_interrupt_ends_a_wait() -> None:
    interrupt, seen = Interrupt(), list[InterruptReason]()

    def job() -> None:
        try:
            interrupt.wait(60)
        except Interrupted as interrupted:
            seen.append(interrupted.reason)

    thread = threading.Thread(target=job)
    thread.start()
    interrupt.trigger(InterruptReason.EXPIRED)
    thread.join(10)
    assert seen == [InterruptReason.EXPIRED]


def test_the_remaining_time_is_what_the_job_reports() -> None:
    interrupt = Interrupt()
    assert interrupt.remaining() is None
    interrupt.expect(lambda: 12.5)
    assert interrupt.remaining() == 12.5


def test_a_stream_that_was_forgotten_is_not_kept() -> None:
    """A job in an outage opens one stream after the other, and must not keep them all in memory."""

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
    interrupt.trigger(InterruptReason.DRAIN)
    assert kept.woken
