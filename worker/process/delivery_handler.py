"""Handles a delivery: keeps it ours while its job runs, then says what to do with its message."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import structlog

from worker.broker.redis_visibility import VisibilityRenewer
from worker.contract.message import InvalidJob
from worker.jobs.ingress_headers import DeliveryOutcome, IngressHeaders
from worker.jobs.ports import Aside, BrokerUnavailable
from worker.jobs.redelivery import Redelivery
from worker.process.drain import RunningJobs

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryHandler:
    """Handles deliveries. One object serves all threads of Celery's pool.

    Attributes:
        redelivery: Runs the job, and decides what becomes of the delivery.
        running: The jobs that run in this process.
        visibility: On Redis, keeps deliveries ours. On RabbitMQ None: the connection does it.
        aside: Where the copy of a lost delivery waits.
        discard: Keeps a body that is no job as a dead letter; raises BrokerUnavailable.
    """

    redelivery: Redelivery
    running: RunningJobs
    visibility: VisibilityRenewer | None
    aside: Aside
    discard: Callable[[bytes, InvalidJob], None]

    def run(self, tag: str, body: bytes, headers: IngressHeaders) -> DeliveryOutcome:
        """Run a delivery; it may take hours.

        Args:
            tag: The broker's name of the delivery.
            body: The job.
            headers: What the door noted on it.

        Returns:
            DONE or HAND_BACK.
        """
        with self.running.one() as interrupt, self._kept(tag):
            try:
                outcome = self.redelivery.take(body, interrupt, headers)
            except InvalidJob as refusal:
                return self._discarded(body, refusal)
            if outcome is DeliveryOutcome.FORFEIT:
                return self._forfeited(tag, body, headers)
            return outcome

    def _kept(self, tag: str) -> AbstractContextManager[None]:
        return nullcontext() if self.visibility is None else self.visibility.kept(tag)

    def _discarded(self, body: bytes, refusal: InvalidJob) -> DeliveryOutcome:
        # The door refuses such bodies: somebody else put this one on Celery's queue.
        log.error("task_without_job", problems=len(refusal.problems))
        try:
            self.discard(body, refusal)
        except BrokerUnavailable:
            return DeliveryOutcome.HAND_BACK
        return DeliveryOutcome.DONE

    def _forfeited(self, tag: str, body: bytes, headers: IngressHeaders) -> DeliveryOutcome:
        """Leave a delivery alone, and see to it that its job does not get lost."""
        if self.visibility is not None:
            # Acknowledged in this process only, not in Redis: its job may run elsewhere, under its tag.
            self.visibility.forfeit(tag)
            return DeliveryOutcome.DONE
        try:
            self.aside.set_aside(body, headers)
        except BrokerUnavailable:
            return DeliveryOutcome.HAND_BACK
        return DeliveryOutcome.DONE
