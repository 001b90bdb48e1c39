"""Whether a loop turns: the loop beats at each turn, marks its waits, and shows when it has ended.

A loop that waits for a dependency is alive, however long that takes: a restart of the process would cure
nothing, and would cost every consultation in it. So code that waits for a broker, for Redis or for a file
marks the wait with `waiting()`, at the place where the wait happens, whatever loop calls that code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from worker.clock import Clock

#: A loop that has not turned for this long is stuck: most turn once a second or more often.
STUCK_SECONDS = 30.0


class Heartbeat:
    """One loop's sign of life.

    Args:
        clock: For time.
        limit: Seconds without a beat after which the loop counts as stuck.
    """

    def __init__(self, clock: Clock, limit: float = STUCK_SECONDS) -> None:
        self._clock = clock
        self._limit = limit
        self._last: float | None = None
        self._waits = 0
        self._ended: str | None = None
        #: Why the loop is off duty, if that is known.
        self.why: str | None = None

    def beat(self) -> None:
        """The loop turned."""
        self._last = self._clock.monotonic()

    def missing(self, dependency: str) -> str | None:
        """For `/readyz`: None on duty, else that there is no connection to a dependency, and why."""
        if self._last is not None:
            return None
        return f"no connection to {dependency}" + (f": {self.why}" if self.why else "")

    def rest(self, why: str | None = None) -> None:
        """The loop is off duty: its dependency is away, or it has ended as it should.

        Args:
            why: What keeps it from its dependency, in words for `/readyz`, if that is known.
        """
        self._last = None
        self.why = why

    def broke(self, error: str) -> None:
        """The loop ended by an error, named by its class. There is no way back from this."""
        self._ended = error

    @property
    def beating(self) -> bool:
        """Whether the loop is on duty."""
        return self._last is not None

    def check(self) -> str | None:
        """For `/livez`: None while the loop turns, waits for a dependency, or is off duty."""
        if self._ended is not None:
            return f"its thread ended by {self._ended}"
        last = self._last
        if last is None or self._waits > 0 or self._clock.monotonic() - last <= self._limit:
            return None
        return "the loop has not turned for too long"

    @contextmanager
    def kept_by_this_thread(self) -> Iterator[None]:
        """While this lasts, `waiting()` on this thread marks this loop as waiting."""
        token = _of_this_thread.set(self)
        try:
            yield
        finally:
            _of_this_thread.reset(token)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._waits += 1
        try:
            yield
        finally:
            # Beat before the mark is removed: else a check in between would find an old beat and no mark.
            if self._last is not None:
                self.beat()
            self._waits -= 1


_of_this_thread: ContextVar[Heartbeat | None] = ContextVar("heartbeat", default=None)


@contextmanager
def waiting() -> Iterator[None]:
    """While this lasts, the calling thread waits for a dependency, and its loop counts as alive."""
    heartbeat = _of_this_thread.get()
    if heartbeat is None:
        yield
        return
    with heartbeat._waiting():  # noqa: SLF001  # of this module
        yield
