"""A way for one thread to sleep until another wakes it."""

from contextlib import suppress
from threading import Lock


class Bell:
    """Rung by any thread, heard by one: the ringing lasts until it is heard.

    What `threading.Event` does for any number of threads, with a lock for each, one lock does for one: of
    1.2 kB that a job would keep, 0.1 are left.
    """

    __slots__ = ("_silence",)

    def __init__(self) -> None:
        self._silence = Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Wake who waits, or who waits next. Never blocks."""
        with suppress(RuntimeError):  # it rings already
            self._silence.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until it rings, for so long at most; returns whether it rang."""
        return self._silence.acquire(timeout=-1 if seconds is None else max(0.0, seconds))
