"""The one way to run a background thread: guarded, and watched by `/livez`."""

import threading
from collections.abc import Callable

import structlog

from worker.clock import Clock
from worker.concurrency.heartbeat import STUCK_SECONDS, Heartbeat

log = structlog.get_logger(__name__)

#: After so many broken turns in a row the thread ends. After a single one, the next turn may do the work; a
#: thread that never does its work must not look alive.
MOST_BROKEN_TURNS = 3


class ThreadWaiter:
    """Implements the `Waiter` port by blocking the thread."""

    def wait(self, seconds: float) -> None:
        """See `worker.jobs.ports.Waiter`."""
        threading.Event().wait(seconds)


class BackgroundThread:
    """A thread whose end by an error shows in `/livez` at once.

    Args:
        name: Of the thread, and of its check.
        loop: Runs until it is told to stop.
        heartbeat: The heartbeat that the loop beats.
    """

    def __init__(self, name: str, loop: Callable[[], None], heartbeat: Heartbeat) -> None:
        self.name = name
        self.heartbeat = heartbeat
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread's end; returns whether it has ended. If it was never started, that is True."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with self.heartbeat.kept_by_this_thread():
                self._loop()
        except BaseException as error:  # noqa: BLE001  # nobody else would ever hear of it
            # Only the class: the text of a foreign exception may hold anything.
            log.critical("thread_ended", thread=self.name, error=type(error).__name__)
            self.heartbeat.broke(type(error).__name__)
        else:
            self.heartbeat.rest()


class PeriodicThread:
    """Takes a turn at once and then every few seconds, until it is stopped.

    After a turn that breaks, the next one comes at its usual time. After `MOST_BROKEN_TURNS` of them in a row
    the thread ends, and `/livez` says so.

    Args:
        name: Of the thread.
        turn: One turn.
        period: Seconds between two turns.
        clock: For time.
        at_once: Whether the first turn is taken at the start and not after a period.
    """

    def __init__(
        self, name: str, turn: Callable[[], None], period: float, clock: Clock, *, at_once: bool = True
    ) -> None:
        self._turn = turn
        self._period = period
        self._at_once = at_once
        self._stop = threading.Event()
        self._broken = 0
        # Three periods: one may be missed, and one may begin just after a check.
        self.heartbeat = Heartbeat(clock, STUCK_SECONDS + 3 * period)
        self._thread = BackgroundThread(name, self._run, self.heartbeat)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Have the thread end after its turn; returns whether it ended within `timeout`."""
        self._stop.set()
        return self._thread.join(timeout)

    def _run(self) -> None:
        self.heartbeat.beat()
        if self._at_once:
            self._guarded()
        while not self._stop.wait(self._period):
            self._guarded()

    def _guarded(self) -> None:
        self.heartbeat.beat()
        try:
            self._turn()
        except Exception as error:
            self._broken += 1
            log.error("turn_broke", thread=self._thread.name, error=type(error).__name__, times=self._broken)
            if self._broken >= MOST_BROKEN_TURNS:
                raise
        else:
            self._broken = 0
