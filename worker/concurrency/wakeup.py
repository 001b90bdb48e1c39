"""A way for one thread to sleep until another wakes it."""

from contextlib import suppress
from threading import Lock


class Wakeup:
    """Set by any thread, for one thread that sleeps. It stays set until that thread takes it.

    `threading.Event` serves any number of sleeping threads, with a lock for each. For one thread, one lock is
    enough: a job keeps 0.1 kB instead of 1.2 kB.
    """

    __slots__ = ("_asleep",)

    def __init__(self) -> None:
        #: Held while nobody has woken the sleeper.
        self._asleep = Lock()
        self._asleep.acquire()

    def wake(self) -> None:
        """Wake who waits, or who waits next. Never blocks."""
        with suppress(RuntimeError):  # it is set already
            self._asleep.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until somebody wakes this thread, for so long at most; returns whether somebody did."""
        return self._asleep.acquire(timeout=-1 if seconds is None else max(0.0, seconds))
