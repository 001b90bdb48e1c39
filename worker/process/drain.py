"""What happens between SIGTERM and the end of the process.

Stop taking jobs; wait for the jobs that can end within the grace period; hand the others back; then stop
Celery, whose loop has to run until then, so that acknowledgements still reach the broker. A second signal
hands everything back at once. Whatever hangs, the process ends just after the grace period.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

from worker.clock import Clock
from worker.concurrency.background import BackgroundThread
from worker.concurrency.heartbeat import Heartbeat
from worker.concurrency.interrupt import Interrupt, InterruptReason

log = structlog.get_logger(__name__)

_LOOK = 0.1
#: Seconds kept before the end of the grace period: for closing streams, handing back, and the last
#: acknowledgements.
_RESERVE = 1.0
#: Seconds that the service needs at least after the last audio.
_ENDING = 1.5
#: Seconds without a job before Celery is stopped. In this time its loop sends the acknowledgements of jobs
#: that have just ended, and jobs begin that the broker had sent before it heard of the drain.
_SETTLE = 0.3
_OVERTIME = 0.7
_EXIT_FORCED = 70


class RunningJobs:
    """The jobs that run in this process; each is represented by its interrupt."""

    def __init__(self) -> None:
        self._jobs: set[Interrupt] = set()
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[Interrupt]:
        """Count a job as running while the context lasts; gives its interrupt."""
        job = Interrupt()
        with self._lock:
            self._jobs.add(job)
        try:
            yield job
        finally:
            with self._lock:
                self._jobs.discard(job)

    def __len__(self) -> int:
        return len(self._jobs)

    def all(self) -> list[Interrupt]:
        """The interrupts of all jobs that run now."""
        with self._lock:
            return list(self._jobs)


class Drain:
    """Stops a worker in an orderly way.

    Args:
        grace: Seconds between the signal and the end of the process.
        jobs: The jobs that run.
        clock: For time.
        idle_exit: Seconds without a job after which the worker stops, as if a signal had come; 0 for never.
        stop_taking: Stops the door and Celery's consumption.
        stop_celery: Makes Celery's loop end.
    """

    def __init__(
        self,
        *,
        grace: float,
        jobs: RunningJobs,
        clock: Clock,
        stop_taking: Callable[[], None],
        stop_celery: Callable[[], None],
        idle_exit: float = 0,
    ) -> None:
        self.signals = 0
        self._began: float | None = None
        self._grace = grace
        self._idle_exit = idle_exit
        self._jobs = jobs
        self._clock = clock
        self._stop_taking = stop_taking
        self._stop_celery = stop_celery
        self._pause = threading.Event()
        self.heartbeat = Heartbeat(clock)
        self._thread = BackgroundThread("drain", self.run, self.heartbeat)

    def start(self) -> None:
        """Watch for signals."""
        self._thread.start()

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """A signal handler: sets a flag and nothing else."""
        self.signals += 1

    @property
    def draining(self) -> bool:
        """Whether a signal has come, or the worker was idle for too long."""
        return self.signals > 0

    def left(self) -> float | None:
        """Seconds of the grace period that are left, or None before a signal."""
        if self._began is None:
            return None
        return round(max(0.0, self._began + self._grace - self._clock.monotonic()), 1)

    def check(self) -> str | None:
        """For readiness."""
        return "draining" if self.draining else None

    def run(self) -> None:
        """What the thread does: wait for a signal, drain, and end the process if Celery does not."""
        self._wait()
        began = self._began = self._clock.monotonic()
        log.info("drain_started", jobs=len(self._jobs), grace=self._grace)
        self._stop_taking()
        self._until_nothing_runs(began)
        log.info("drain_ended", jobs=len(self._jobs), seconds=round(self._clock.monotonic() - began, 2))
        self._stop_celery()
        # Celery waits for jobs that the broker had sent before it heard of the drain: hand these back, too.
        while self._clock.monotonic() < began + self._grace + _OVERTIME:
            self._hand_back(began)
            self._look_again()
        # Something does not end: a thread in a download, a broker that does not answer. Everything
        # unacknowledged goes back to the queue when our connections are gone.
        log.error("drain_forced", jobs=len(self._jobs))
        os._exit(_EXIT_FORCED)

    def _until_nothing_runs(self, began: float) -> None:
        """Wait until no job has run for a moment.

        A job that the broker has sent already may begin after the last one has ended.
        """
        quiet_since = began
        while (now := self._clock.monotonic()) < began + self._grace:
            if len(self._jobs) > 0:
                quiet_since = now + _LOOK
                self._hand_back(began)
            elif now - quiet_since >= _SETTLE:
                return
            self._look_again()

    def _hand_back(self, began: float) -> None:
        """Interrupt the jobs that cannot end within the grace period."""
        now = self._clock.monotonic()
        last_call = began + max(0.0, self._grace - _RESERVE)
        forced = self.signals > 1 or now >= last_call
        for job in self._jobs.all():
            remaining = job.remaining()
            if forced or remaining is None or now + remaining + _ENDING > last_call:
                job.trigger(InterruptReason.DRAIN)

    def _wait(self) -> None:
        """Wait until a signal comes, or no job has run for too long. A job that comes then is drained."""
        busy = self._clock.monotonic()
        while not self.draining:
            self._look_again()
            if len(self._jobs) > 0:
                busy = self._clock.monotonic()
            elif 0 < self._idle_exit <= self._clock.monotonic() - busy:
                log.info("idle", seconds=self._idle_exit)
                self.signals += 1

    def _look_again(self) -> None:
        self.heartbeat.beat()
        self._pause.wait(_LOOK)
