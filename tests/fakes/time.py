"""Time that only tests move."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from worker.concurrency.interrupt import Interrupt

EPOCH = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class FakeClock:
    """A monotonic and a wall clock that move together, by `advance` and by `wait`; it is a waiter, too."""

    def __init__(self, monotonic: float = 5000.0) -> None:
        self._started = self._now = monotonic
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        with self._lock:
            return self._now

    def wall(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic() - self._started)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds

    def wait(self, seconds: float) -> None:
        self.advance(seconds)


class FakeWaiter:
    """Waits by moving the clock; remembers each wait."""

    def __init__(self, clock: FakeClock, waits: list[float] | None = None) -> None:
        self._clock = clock
        self.waits = [] if waits is None else waits

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._clock.advance(seconds)


class FakeInterrupt(Interrupt):
    """An interrupt whose waits move the clock, and make calls that are planned for a later time."""

    def __init__(self, clock: FakeClock, waits: list[float] | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._waits = [] if waits is None else waits
        self._plans: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan a call for later; it is made when a wait goes past that time."""
        self._plans.append((self._clock.monotonic() + seconds, action))

    def wait(self, seconds: float) -> None:
        self._waits.append(seconds)
        until = self._clock.monotonic() + seconds
        for plan in sorted(self._plans, key=lambda plan: plan[0]):
            at, action = plan
            if at <= until and self.reason is None:
                self._plans.remove(plan)
                self._clock.advance(max(0.0, at - self._clock.monotonic()))
                action()
        self.check()
        self._clock.advance(until - self._clock.monotonic())
