"""Delivering results that were stored but not delivered: their worker died, or gave up on the broker."""

from dataclasses import dataclass
from typing import Protocol

import structlog

from worker import measures
from worker.claims import LedgerUnavailable, Parcel
from worker.ports import Outlet, OutletUnavailable, Recorder

log = structlog.get_logger(__name__)


class Stored(Protocol):
    """The ledger's side of the outbox."""

    def take_undelivered(self) -> list[str]:
        """Job ids of results that nobody delivers; they are ours for the length of a lease."""
        ...

    def parcel(self, job_id: str) -> Parcel | None:
        """The stored result of a job, if there is one that we can read."""
        ...

    def delivered(self, job_id: str) -> None:
        """The broker has confirmed it."""
        ...


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Delivers what others left behind."""

    stored: Stored
    outlet: Outlet
    recorder: Recorder

    def sweep(self) -> int:
        """Deliver every waiting result that can be delivered now.

        Returns:
            How many were.
        """
        delivered = 0
        try:
            for job_id in self.stored.take_undelivered():
                delivered += self.deliver(job_id)
        except (LedgerUnavailable, OutletUnavailable) as error:
            log.warning("sweep_interrupted", error=str(error))
        return delivered

    def deliver(self, job_id: str) -> bool:
        """Publish the stored result of a job; False when there is none that we can read.

        Raises:
            LedgerUnavailable, OutletUnavailable: Try again later.
        """
        parcel = self.stored.parcel(job_id)
        if parcel is None:
            log.error("stored_result_unreadable", job_id=job_id)
            return False
        self.outlet.deliver(parcel)
        self.stored.delivered(job_id)
        self.recorder.count(measures.RESULTS_SWEPT)
        return True
