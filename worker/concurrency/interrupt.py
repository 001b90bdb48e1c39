"""Interrupts one job from outside of its thread: it lost its claim, its time is over, or the worker stops."""

import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from worker.concurrency.wakeup import Wakeup


class InterruptReason(Enum):
    """Why a job is interrupted."""

    DRAIN = "the worker stops: hand the job back"
    CLAIM_LOST = "somebody else has the claim: stop, and publish nothing"
    EXPIRED = "the job's time is over: fail it"


class Interrupted(Exception):
    """The job's thread noticed an interrupt."""

    def __init__(self, why: InterruptReason) -> None:
        super().__init__(why.value)
        self.reason = why


class Interrupt:
    """One job's interrupt. Any thread may trigger it; the first reason stands."""

    def __init__(self) -> None:
        self.reason: InterruptReason | None = None
        self._wakeup = Wakeup()
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], None]] = []
        self._remaining: Callable[[], float | None] = lambda: None

    def expect(self, remaining: Callable[[], float | None]) -> None:
        """Set the function that tells how many seconds the job's audio still takes."""
        self._remaining = remaining

    def remaining(self) -> float | None:
        """Seconds the job's audio still takes, or None when nobody knows."""
        return self._remaining()

    def trigger(self, why: InterruptReason) -> None:
        """Interrupt the job."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = why
            wakers = tuple(self._wakers)
        self._wakeup.wake()
        for wake in wakers:
            wake()

    def on_trigger(self, wake: Callable[[], None]) -> None:
        """Have `wake` called at the interrupt, or now if there was one."""
        with self._lock:
            self._wakers.append(wake)
            triggered = self.reason is not None
        if triggered:
            wake()

    def forget(self, wake: Callable[[], None]) -> None:
        """Undo `on_trigger` when a stream is over: a job in an outage opens many streams in a row."""
        with self._lock, suppress(ValueError):
            self._wakers.remove(wake)

    def wait(self, seconds: float) -> None:
        """Let time pass; raises Interrupted as soon as there is an interrupt."""
        if self.reason is None:
            self._wakeup.wait(seconds)
        self.check()

    def check(self) -> None:
        """Raise Interrupted if there was an interrupt."""
        if self.reason is not None:
            raise Interrupted(self.reason)
