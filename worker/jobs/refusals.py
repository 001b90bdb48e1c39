"""Makes dead letters of messages that hold no job, and records each in metrics, audit trail and log."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from worker.clock import Clock
from worker.contract.dead_letter import DeadLetter
from worker.contract.errors import Reason
from worker.contract.message import InvalidJob
from worker.jobs.ports import Publisher
from worker.telemetry import catalogue
from worker.telemetry.audit import Audit, Entry, Step, Unaudited
from worker.telemetry.recorder import Recorder

log = structlog.get_logger(__name__)

_NO_JOB = "the message is no valid job: see errors"


@dataclass(frozen=True, slots=True)
class Refusals:
    """Makes dead letters of messages without a job. Only the dead letter tells a producer of the refusal."""

    publisher: Publisher
    recorder: Recorder
    clock: Clock
    audit: Audit = field(default_factory=Unaudited)

    def publish_dead_letter(
        self,
        body: bytes,
        refusal: InvalidJob,
        queue: str,
        *,
        reason: Reason = Reason.INVALID_JOB,
        detail: str = _NO_JOB,
        received_at: datetime | None = None,
    ) -> None:
        """Put a message on the queue of dead letters; returns when the broker has confirmed.

        Args:
            body: The message, as it came.
            refusal: Why no job could be read from it.
            queue: Where it was.
            reason: Why it was given up.
            detail: The same in words.
            received_at: When it was taken in, if that is known.

        Raises:
            BrokerUnavailable: The broker did not confirm; the message must stay where it is.
        """
        now = self.clock.wall()
        letter = DeadLetter.of(
            body,
            reason=reason,
            detail=detail,
            queue=queue,
            received_at=received_at or now,
            dead_at=now,
            job_id=refusal.job_id,
            problems=refusal.problems,
        )
        self.publisher.publish_dead_letter(letter)
        self.recorder.count(catalogue.DEAD_LETTERS, reason=reason)
        self.audit.record(Entry(Step.FAILED, refusal.job_id, reason=reason.value))
        # Not the fields: a producer chooses the name of an unknown key, and it could be a person's name.
        log.warning(
            "message_refused",
            job_id=refusal.job_id,
            reason=reason.value,
            queue=queue,
            size=len(body),
            sha256=hashlib.sha256(body).hexdigest()[:16],
            problems=len(refusal.problems),
        )
