"""The door's decision, without a broker: is this message a job we take in?"""

from dataclasses import dataclass, field
from typing import Protocol

from worker.clock import Clock
from worker.contract.job import Job
from worker.contract.message import InvalidJob, Problem
from worker.contract.tenancy import Tenancy
from worker.jobs.ingress_headers import NO_HEADERS, IngressHeaders
from worker.jobs.ports import GiveWay, never
from worker.jobs.refusals import Refusals
from worker.telemetry import catalogue, trace
from worker.telemetry.audit import Audit, Entry, Step, Unaudited
from worker.telemetry.recorder import Recorder
from worker.telemetry.trace import Tracer, Untraced


class WorkQueue(Protocol):
    """The queue from which Celery takes jobs."""

    def put(self, body: bytes, headers: IngressHeaders) -> None:
        """Put a job on the queue, with its headers.

        Returns when the broker has confirmed; raises BrokerUnavailable if it does not.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ingress:
    """Takes one message at a time. When `take` returns, the message is safe elsewhere: acknowledge it."""

    work: WorkQueue
    refusals: Refusals
    recorder: Recorder
    clock: Clock
    reply_prefix: str
    queue: str
    tenancy: Tenancy = field(default_factory=Tenancy)
    tracer: Tracer = field(default_factory=Untraced)
    audit: Audit = field(default_factory=Unaudited)
    give_way: GiveWay = never

    def take(self, body: bytes, known: IngressHeaders = NO_HEADERS) -> None:
        """Hand a good job on to Celery, and anything else to the dead letters.

        Args:
            body: The message.
            known: The headers from a door that accepted the job before, if it was set aside since then. Such
                a job keeps its first time and trace, and is not counted and audited a second time.

        Raises:
            BrokerUnavailable: The broker did not confirm; the message must stay where it is.
        """
        self.give_way()
        try:
            job = self.check(body)
        except InvalidJob as refusal:
            self.refusals.publish_dead_letter(body, refusal, self.queue)
            self.recorder.count(catalogue.DOOR_MESSAGES, outcome="refused")
            return
        now = self.clock.wall()
        # No door can have noted a time in the future.
        before = known.accepted_at if known.accepted_at and known.accepted_at <= now else None
        parent = (known.traceparent if before else None) or job.traceparent
        with self.tracer.span(f"process {self.queue}", kind="consumer", parent=parent, job_id=job.job_id):
            self.work.put(body, IngressHeaders(before or now, trace.current(), known.broken if before else 0))
        if before:
            return
        self.recorder.count(catalogue.DOOR_MESSAGES, outcome="accepted")
        self.audit.record(Entry.of(Step.RECEIVED, job))

    def check(self, body: bytes) -> Job:
        """The job in a message, if we take it in; raises InvalidJob."""
        job = self.tenancy.read(body)
        if job.reply_to is not None and not job.reply_to.startswith(self.reply_prefix):
            problem = Problem("reply_to", f"expected a queue whose name starts with {self.reply_prefix}")
            raise InvalidJob((problem,), job.job_id)
        return job
