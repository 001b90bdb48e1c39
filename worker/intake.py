"""The door's decision, without a broker: is this message a job we take in?"""

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from worker import measures
from worker.audit import Audit, Entry, Step, Unaudited
from worker.clock import Clock
from worker.dead_letter import DeadLetter
from worker.errors import Reason
from worker.job import Job
from worker.message import InvalidJob, Problem
from worker.ports import GiveWay, Outlet, Recorder, never
from worker.tenancy import Tenancy
from worker.trace import Tracer, Untraced

log = structlog.get_logger(__name__)


class WorkQueue(Protocol):
    """Celery's queue."""

    def put(self, body: bytes) -> None:
        """Hand a job on; returns when the broker has confirmed, raises OutletUnavailable if it does not."""
        ...


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes one message at a time. When `take` returns, the message is safe elsewhere: acknowledge it."""

    work: WorkQueue
    outlet: Outlet
    recorder: Recorder
    clock: Clock
    reply_prefix: str
    queue: str
    tenancy: Tenancy = field(default_factory=Tenancy)
    tracer: Tracer = field(default_factory=Untraced)
    audit: Audit = field(default_factory=Unaudited)
    give_way: GiveWay = never

    def take(self, body: bytes) -> None:
        """Hand a good job on to Celery, and anything else to the dead letters.

        Raises:
            OutletUnavailable: The broker did not confirm; the message must stay where it is.
        """
        self.give_way()
        try:
            job = self._check(body)
        except InvalidJob as refusal:
            self._refuse(body, refusal)
            return
        with self.tracer.span(
            f"process {self.queue}", kind="consumer", parent=job.traceparent, job_id=job.job_id
        ):
            self.work.put(body)
        self.recorder.count(measures.DOOR_MESSAGES, outcome="accepted")
        self.audit.record(Entry.of(Step.RECEIVED, job))

    def _check(self, body: bytes) -> Job:
        job = self.tenancy.read(body)
        if job.reply_to is not None and not job.reply_to.startswith(self.reply_prefix):
            problem = Problem("reply_to", f"expected a queue whose name starts with {self.reply_prefix}")
            raise InvalidJob((problem,), job.job_id)
        return job

    def _refuse(self, body: bytes, refusal: InvalidJob) -> None:
        now = self.clock.wall()
        letter = DeadLetter.of(
            body,
            reason=Reason.INVALID_JOB,
            detail="the message is no valid job: see errors",
            queue=self.queue,
            received_at=now,
            dead_at=now,
            job_id=refusal.job_id,
            problems=refusal.problems,
        )
        self.outlet.bury(letter)
        self.recorder.count(measures.DOOR_MESSAGES, outcome="refused")
        self.recorder.count(measures.DEAD_LETTERS, reason=Reason.INVALID_JOB)
        self.audit.record(Entry(Step.FAILED, refusal.job_id, reason=Reason.INVALID_JOB.value))
        # Not the fields: the name of an unknown key is the producer's, and could be anybody's name.
        log.warning(
            "message_refused",
            job_id=refusal.job_id,
            size=len(body),
            sha256=hashlib.sha256(body).hexdigest()[:16],
            problems=len(refusal.problems),
        )
