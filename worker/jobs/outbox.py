"""Delivering results that were stored but not delivered: their worker died, or gave up on the broker."""

from dataclasses import dataclass, field
from typing import Protocol

import structlog

from worker.jobs.claims import LedgerUnavailable, OutboxEntry
from worker.jobs.ports import BrokerUnavailable, Publisher, ReplyRefused
from worker.telemetry import catalogue
from worker.telemetry.audit import Audit, Entry, Step, Unaudited
from worker.telemetry.recorder import Recorder

log = structlog.get_logger(__name__)


class Stored(Protocol):
    """The ledger's side of the outbox."""

    def take_undelivered(self) -> list[str]:
        """Job ids of results that nobody delivers; for the length of a lease nobody else gets these ids."""
        ...

    def outbox_entry(self, job_id: str) -> OutboxEntry | None:
        """The stored result of a job, if there is one that we can read."""
        ...

    def delivered(self, job_id: str) -> None:
        """The broker has confirmed it."""
        ...


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Delivers the results that other workers stored and did not deliver."""

    stored: Stored
    publisher: Publisher
    recorder: Recorder
    audit: Audit = field(default_factory=Unaudited)

    def sweep(self) -> int:
        """Deliver every waiting result that can be delivered now.

        Returns:
            How many were delivered.
        """
        delivered = 0
        try:
            for job_id in self.stored.take_undelivered():
                delivered += self._swept(job_id)
        except (LedgerUnavailable, BrokerUnavailable) as error:
            log.warning("sweep_interrupted", error=str(error))
        return delivered

    def _swept(self, job_id: str) -> bool:
        try:
            if not self.deliver(job_id):
                return False
        except ReplyRefused as error:
            # The result stays in the outbox, and the results of other jobs are still delivered.
            log.warning("reply_refused", job_id=job_id, error=str(error))
            return False
        self.recorder.count(catalogue.RESULTS_SWEPT)
        return True

    def deliver(self, job_id: str) -> bool:
        """Publish the stored result of a job; False when there is none that we can read.

        Raises:
            LedgerUnavailable, BrokerUnavailable: Try again later.
        """
        outbox_entry = self.stored.outbox_entry(job_id)
        if outbox_entry is None:
            log.error("stored_result_unreadable", job_id=job_id)
            return False
        self.publisher.deliver(outbox_entry)
        self.stored.delivered(job_id)
        failed = outbox_entry.outcome == "failed"
        # Without the fields that are only in the job's message: it was not read again.
        self.audit.record(Entry(Step.FAILED if failed else Step.PUBLISHED, job_id, details={"by": "sweeper"}))
        return True
