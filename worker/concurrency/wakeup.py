"""A way for one thread to sleep until another wakes it."""

from contextlib import suppress
from threading import Lock


class Wakeup:
    """Given by any thread, taken by one: it stands until it is taken.

    What `threading.Event` does for any number of threads, with a lock for each, one lock does for one: of
    1.2 kB that a job would keep, 0.1 are left.
    """

    __slots__ = ("_asleep",)

    def __init__(self) -> None:
        #: Held while nobody has woken the sleeper.
        self._asleep = Lock()
        self._asleep.acquire()

    def wake(self) -> None:
        """Wake who waits, or who waits next. Never blocks."""
        with suppress(RuntimeError):  # it stands already
            self._asleep.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until somebody wakes this thread, for so long at most; returns whether somebody did."""
        return self._asleep.acquire(timeout=-1 if seconds is None else max(0.0, seconds))
