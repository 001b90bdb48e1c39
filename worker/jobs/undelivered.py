"""Messages that the broker gave up: their jobs end with a dead letter and an event, like any job that failed.

RabbitMQ gives a message up when it was delivered too often, outlived its time, or was rejected. Its job may
nevertheless have ended, or be running: so the ledger is asked first.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from worker.clock import Clock
from worker.contract.errors import Reason
from worker.contract.events import Failed
from worker.contract.job import Job
from worker.contract.message import InvalidJob
from worker.contract.tenancy import UNKNOWN as UNKNOWN_TENANT
from worker.jobs.claims import Claim, ClaimLost, Claims, Finished, LedgerUnavailable, Outbox
from worker.jobs.ingress_headers import NO_HEADERS, IngressHeaders
from worker.jobs.job_report import JobReport
from worker.jobs.ports import Aside, BrokerUnavailable, GiveWay, Publisher, never
from worker.jobs.refusals import Refusals
from worker.jobs.result import build_result
from worker.telemetry import catalogue
from worker.telemetry.audit import Audit, Unaudited
from worker.telemetry.recorder import Recorder
from worker.telemetry.trace import Tracer, Untraced

log = structlog.get_logger(__name__)

#: What RabbitMQ calls its reasons, and what they mean to the reader of a dead letter.
_WHY = {
    "delivery_limit": "the broker delivered the message too often without its being acknowledged: look for "
    "workers that died or lost their connection",
    "expired": "the message expired before a worker took it: see its expiration and the queue's policies",
    "rejected": "a consumer rejected the message: look for one that is no worker of this installation",
    "maxlen": "the queue was longer than a policy of the broker allows",
}
_NO_WHY = "the broker gave the message up and did not say why"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A message that the broker gave up.

    Attributes:
        body: The message.
        job: The bytes in which a job may be read.
        queue: Where it was.
        why: The broker's name for the reason, if it gave one.
        headers: What a door had noted.
    """

    body: bytes
    job: bytes
    queue: str
    why: str | None = None
    headers: IngressHeaders = NO_HEADERS


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Takes messages that the broker gave up, one at a time.

    Attributes:
        check: Reads a job as the door does; raises InvalidJob for one that a door would refuse.
        forget: Drops what this process has noted of a claim.
        publisher: Tries once: a result that is not confirmed stays in the outbox, and others deliver it.
        aside: Where jobs wait that somebody else may be running.
        tenants: Names of tenants that metrics may show.
    """

    check: Callable[[bytes], Job]
    claims: Claims
    forget: Callable[[Claim], None]
    outbox: Outbox
    publisher: Publisher
    aside: Aside
    refusals: Refusals
    recorder: Recorder
    clock: Clock
    tenants: Collection[str] = ()
    tracer: Tracer = field(default_factory=Untraced)
    audit: Audit = field(default_factory=Unaudited)
    give_way: GiveWay = never

    def take(self, message: GivenUp) -> None:
        """End the job of a message, if it has not ended. When this returns, acknowledge the message.

        Raises:
            BrokerUnavailable: Redis is away, or the broker did not confirm. The message must stay there.
        """
        self.give_way()
        detail = _WHY.get(message.why or "", _NO_WHY)
        received_at = message.headers.accepted_at or self.clock.wall()
        try:
            job = self.check(message.job)
        except InvalidJob as refusal:
            self.refusals.publish_dead_letter(
                message.body,
                refusal,
                message.queue,
                reason=Reason.UNDELIVERABLE,
                detail=detail,
                received_at=received_at,
            )
            return
        parent = message.headers.traceparent or job.traceparent
        with (
            structlog.contextvars.bound_contextvars(job_id=job.job_id),
            self.tracer.span(f"give up {message.queue}", kind="consumer", parent=parent, job_id=job.job_id),
        ):
            if not self._ended(job, message, detail, received_at):
                # Do the same as with every delivery of a job that somebody else has. It comes back as a
                # delivery of that job: dropped if the job has ended, run if its worker has died.
                self.aside.set_aside(message.job, message.headers)

    def _ended(self, job: Job, message: GivenUp, detail: str, received_at: datetime) -> bool:
        """End the job if it has not ended; returns whether its result has been delivered, now or before."""
        try:
            found = self.claims.claim(job.job_id)
        except LedgerUnavailable as error:
            raise BrokerUnavailable(str(error)) from None
        if isinstance(found, Finished) and not found.undelivered:
            self.recorder.count(catalogue.JOBS_REPEATED, outcome="dropped")
            log.info("job_repeated", republished=False)
            return True
        if not isinstance(found, Claim):
            return False
        tenant = job.tenant if job.tenant in self.tenants else UNKNOWN_TENANT
        report = JobReport(job, found, self.recorder, self.tracer, self.audit, self.clock, tenant or "")
        outcome = Failed(
            reason=Reason.UNDELIVERABLE,
            detail=detail,
            cause=None,
            # The claim counted one attempt, and we made none.
            attempts=found.attempts - 1,
            interaction_id=found.interaction_id or None,
            metadata=job.metadata,
        )
        try:
            if not self._told(job, found, message, outcome, received_at):
                return False
        finally:
            self.forget(found)
        report.finished(outcome)
        return True

    def _told(self, job: Job, claim: Claim, message: GivenUp, outcome: Failed, received_at: datetime) -> bool:
        outbox_entry = build_result(
            job,
            message.job,
            outcome,
            queue=message.queue,
            received_at=received_at,
            now=self.clock.wall(),
        )
        try:
            self.outbox.store(claim, outbox_entry)
        except ClaimLost:
            return False
        except LedgerUnavailable as error:
            with suppress(LedgerUnavailable):
                self.claims.release(claim)
            raise BrokerUnavailable(str(error)) from None
        try:
            self.publisher.deliver(outbox_entry)
            self.outbox.delivered(job.job_id)
        except (BrokerUnavailable, LedgerUnavailable) as error:
            log.warning("result_left_to_the_outbox", error=str(error))
            return False
        return True
