"""Renews the claims of running jobs, and stops jobs that lost their claim or ran out of time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from worker.clock import Clock
from worker.concurrency.background import PeriodicThread
from worker.concurrency.interrupt import Interrupt, InterruptReason
from worker.jobs.claims import Claim, LedgerUnavailable
from worker.store.ledger.ledger import RedisLedger
from worker.telemetry import catalogue
from worker.telemetry.recorder import Recorder

log = structlog.get_logger(__name__)

_TURNS_PER_LEASE = 3


@dataclass(slots=True)
class Held:
    """A claim while its job runs."""

    claim: Claim
    interrupt: Interrupt
    until: float | None


class LeaseRenewer:
    """One thread that renews every claim of this process, three times in the life of a lease.

    Args:
        ledger: Where claims are.
        recorder: For metrics.
        clock: For time.
    """

    def __init__(self, ledger: RedisLedger, recorder: Recorder, clock: Clock) -> None:
        self._ledger = ledger
        self._recorder = recorder
        self._clock = clock
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        # A worker that is ready before it has asked Redis would let a rollout end the old workers before the
        # new ones can work.
        self._trouble: str | None = "Redis has not answered yet"
        self._others: list[Callable[[], None]] = []
        period = ledger.lease_ms / 1000 / _TURNS_PER_LEASE
        self._thread = PeriodicThread("lease-renewer", self._turn, period, clock)
        self.heartbeat = self._thread.heartbeat

    def also(self, renew: Callable[[], None]) -> None:
        """Have something else renewed at each turn."""
        self._others.append(renew)

    def start(self) -> None:
        """Start renewing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing."""
        self._thread.stop()

    def check(self) -> str | None:
        """For readiness: what the last turn found."""
        return self._trouble

    @contextmanager
    def keep(self, claim: Claim, interrupt: Interrupt, until: float | None) -> Iterator[None]:
        """Renew a claim while the context lasts.

        Args:
            claim: The claim.
            interrupt: Triggered when the claim is lost, or at `until`.
            until: Monotonic time at which the job has to end.
        """
        held = Held(claim, interrupt, until)
        with self._lock:
            self._held[claim.owner] = held
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(claim.owner, None)
            self._ledger.forget(claim)

    def turn(self) -> None:
        """Renew every claim once, and interrupt every job whose time is over."""
        with self._lock:
            held = list(self._held.values())
        now = self._clock.monotonic()
        for item in held:
            if item.until is not None and now >= item.until:
                item.interrupt.trigger(InterruptReason.EXPIRED)
        try:
            if self._ledger.say_again():
                log.warning("ledger_was_emptied", claims=len(held))
            self._ledger.learn()
            renewed = self._ledger.renew([item.claim for item in held])
            self._trouble = None
        except LedgerUnavailable as error:
            self._trouble = (
                f"no connection to Redis: {error.why}"
                if error.why
                else "Redis does not answer: running jobs go on, new ones wait"
            )
            # Nobody can claim anything either while Redis is away, so the jobs go on.
            self._recorder.count(catalogue.CLAIM_RENEWALS, len(held), outcome="error")
            log.warning("claims_not_renewed", error=str(error), claims=len(held))
            return
        for item, ours in zip(held, renewed, strict=True):
            if not ours:
                item.interrupt.trigger(InterruptReason.CLAIM_LOST)
        lost = renewed.count(False)
        self._recorder.count(catalogue.CLAIM_RENEWALS, len(held) - lost, outcome="renewed")
        if lost:
            self._recorder.count(catalogue.CLAIM_RENEWALS, lost, outcome="lost")

    def _turn(self) -> None:
        self.turn()
        for renew in self._others:
            renew()
