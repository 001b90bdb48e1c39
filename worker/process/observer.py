"""Measures the queues and the outbox of the whole installation, while this process is the observer.

It does so on a timer and not at each scrape: a broker that does not answer must not hold up the metrics that
would show this. Numbers older than `_STALE_SECONDS` are not shown: no number is better than a wrong one.
"""

from collections.abc import Callable

import structlog

from worker.broker.depth import Depth
from worker.clock import Clock
from worker.concurrency.background import PeriodicThread
from worker.concurrency.heartbeat import waiting
from worker.jobs.claims import LedgerUnavailable
from worker.jobs.ports import BrokerUnavailable
from worker.store.ledger import Fleet

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
_STALE_SECONDS = 2.5 * LOOK_SECONDS

WAITING, RUNNING = "waiting", "running"


class Observer:
    """The observer's thread and what it saw last.

    Args:
        fleet: This process among its peers.
        depth: The broker's queues.
        backlog: How many results wait in the outbox, and the age of the oldest.
        running: How many jobs this process runs.
        work: Name of Celery's queue, from which jobs run.
        clock: For time.
    """

    def __init__(
        self,
        fleet: Fleet,
        depth: Depth,
        backlog: Callable[[], tuple[int, float]],
        running: Callable[[], int],
        work: str,
        clock: Clock,
    ) -> None:
        self._fleet = fleet
        self._depth = depth
        self._backlog = backlog
        self._running = running
        self._work = work
        self._clock = clock
        self._seen_at = self._answered_at = float("-inf")
        self._jobs: dict[tuple[str, ...], float] = {}
        self._lengths: dict[tuple[str, ...], float] = {}
        self._outbox: tuple[int, float] | None = None
        self._thread = PeriodicThread("observer", self.look, LOOK_SECONDS, clock)
        self.heartbeat = self._thread.heartbeat

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; another process looks from now on."""
        if self._thread.stop(
            timeout=1.0
        ):  # else it waits for a broker that is away, and ends with the process
            self._depth.close()
        try:
            self._fleet.leave()
        except LedgerUnavailable:
            log.info("fleet_not_left")  # the others will notice by themselves

    def queues(self) -> dict[tuple[str, ...], float]:
        """Messages by queue and state; empty when it is another process's turn."""
        answered = self._clock.monotonic() - self._answered_at < _STALE_SECONDS
        return {**(self._lengths if answered else {}), **self._jobs} if self._current() else {}

    def outbox_results(self) -> float | None:
        """Results that wait in the outbox; None when it is another process's turn."""
        return self._outbox[0] if self._outbox is not None and self._current() else None

    def outbox_age(self) -> float | None:
        """Age of the oldest of these results, in seconds."""
        return self._outbox[1] if self._outbox is not None and self._current() else None

    def look(self) -> None:
        """Report what this process runs, and look at the rest if it is this process's turn."""
        try:
            running = self._fleet.report(self._running())
            if running is None:
                self._jobs, self._lengths, self._outbox = {}, {}, None
                return
            self._outbox = self._backlog()
            # Dated before the broker is asked, because it may answer late. Until then its last answer is
            # kept: without it a scrape in between would show no waiting messages.
            asked_at = self._seen_at = self._clock.monotonic()
            self._jobs = {(self._work, RUNNING): running}
            with waiting():
                lengths = self._depth.read()
            self._lengths = {(name, WAITING): float(count) for name, count in lengths.items()}
            self._answered_at = asked_at
        except BrokerUnavailable as error:
            self._lengths = {}
            log.warning("installation_not_observed", error=str(error))
        except LedgerUnavailable as error:
            log.warning("installation_not_observed", error=str(error))

    def _current(self) -> bool:
        return self._clock.monotonic() - self._seen_at < _STALE_SECONDS
