"""Deliveries that cannot be completed now: how often a job may come back, and in what form."""

from dataclasses import dataclass, replace

import structlog

from worker.clock import Clock
from worker.concurrency.interrupt import Interrupt, Interrupted
from worker.contract.dead_letter import DeadLetter
from worker.contract.errors import Reason
from worker.contract.message import InvalidJob
from worker.jobs.delivery import Deliveries
from worker.jobs.ingress import WorkQueue
from worker.jobs.ingress_headers import DeliveryOutcome, IngressHeaders
from worker.jobs.ports import BrokerUnavailable, Publisher
from worker.jobs.retry import GiveUp

log = structlog.get_logger(__name__)

#: How many deliveries of one job may fail by a bug of ours. With the pauses between them they take a quarter
#: of an hour: time to roll back a release that breaks every delivery.
MOST_BROKEN = 20
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
#: RabbitMQ gives a message up when it was delivered `DELIVERY_LIMIT` times (50), for whatever reason. From
#: this number on, a copy is published instead of handing it back: RabbitMQ counts the copy from zero.
MANY_DELIVERIES = 25
_FAULT = GiveUp(Reason.INTERNAL_ERROR, "the worker has a fault; see delivery_broke in its log")


@dataclass(frozen=True, slots=True)
class Redelivery:
    """Takes deliveries, and handles those that cannot be completed now.

    Attributes:
        deliveries: Runs the job of a delivery.
        work: Where copies go.
        publisher: For the dead letter of a job that cannot even be failed.
        clock: For time.
        queue: Name of Celery's queue.
    """

    deliveries: Deliveries
    work: WorkQueue
    publisher: Publisher
    clock: Clock
    queue: str

    def take(self, body: bytes, interrupt: Interrupt, headers: IngressHeaders) -> DeliveryOutcome:
        """Take a delivery. Raises InvalidJob like `Deliveries.take`, and handles all other exceptions."""
        outcome = self._guarded(body, interrupt, headers)
        if outcome is DeliveryOutcome.HAND_BACK and headers.deliveries >= MANY_DELIVERIES:
            return self._copied(body, headers)
        return outcome

    def _guarded(self, body: bytes, interrupt: Interrupt, headers: IngressHeaders) -> DeliveryOutcome:
        try:
            return self.deliveries.take(body, interrupt, headers)
        except InvalidJob:
            raise
        except Exception as error:  # noqa: BLE001  # the pool would swallow it, and the job hang
            return self._broke(error, body, interrupt, headers)

    def _broke(
        self, error: Exception, body: bytes, interrupt: Interrupt, headers: IngressHeaders
    ) -> DeliveryOutcome:
        broken = headers.broken + 1
        log.error("delivery_broke", error=type(error).__name__, times=broken)
        if broken >= MOST_BROKEN:
            return self._give_up(body, headers, interrupt)
        try:
            interrupt.wait(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (broken - 1)))
        except Interrupted:
            return DeliveryOutcome.HAND_BACK
        return self._copied(body, replace(headers, broken=broken))

    def _copied(self, body: bytes, headers: IngressHeaders) -> DeliveryOutcome:
        """Put a copy on the queue, and have the delivery acknowledged; or hand it back if that fails."""
        try:
            self.work.put(body, headers)
        except BrokerUnavailable:
            return DeliveryOutcome.HAND_BACK
        return DeliveryOutcome.DONE

    def _give_up(self, body: bytes, headers: IngressHeaders, interrupt: Interrupt) -> DeliveryOutcome:
        try:
            return self.deliveries.fail(body, headers, interrupt, _FAULT)
        except BrokerUnavailable:
            return DeliveryOutcome.HAND_BACK
        except Exception as error:  # noqa: BLE001  # the fault may lie just here
            log.critical("job_could_not_be_failed", error=type(error).__name__)
        now = self.clock.wall()
        letter = DeadLetter.of(
            body,
            reason=_FAULT.reason,
            detail=_FAULT.detail,
            queue=self.queue,
            received_at=now,
            dead_at=now,
        )
        try:
            self.publisher.publish_dead_letter(letter)
        except BrokerUnavailable:
            return DeliveryOutcome.HAND_BACK
        return DeliveryOutcome.DONE
