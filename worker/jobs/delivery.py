"""One delivery of a job: claim and run it, or set it aside. The outcome says what to do with its message."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import structlog

from worker.clock import Clock
from worker.concurrency.interrupt import Interrupt, Interrupted, InterruptReason
from worker.contract.job import Job
from worker.contract.message import InvalidJob
from worker.contract.tenancy import Tenancy
from worker.jobs.claims import Busy, CapReached, Caps, Claim, ClaimLost, Claims, Finished, LedgerUnavailable
from worker.jobs.ingress_headers import NO_HEADERS, DeliveryOutcome, IngressHeaders
from worker.jobs.ports import Aside, BrokerUnavailable
from worker.jobs.retry import GiveUp
from worker.jobs.retry_until import until_taken
from worker.jobs.runner import Runner
from worker.telemetry import catalogue
from worker.telemetry.audit import Audit, Entry, Step, Unaudited
from worker.telemetry.recorder import Recorder
from worker.telemetry.trace import Tracer, Untraced

log = structlog.get_logger(__name__)

_PAUSE = 1.0
#: Seconds added to the rest of another's lease, so that we ask just after its end and not just before.
_MARGIN = 0.2

Keep = Callable[[Claim, Interrupt, float | None], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Takes deliveries. One object serves all job threads.

    Attributes:
        claims: Who may run what.
        keep: Renews a claim while its context lasts.
        runner: Runs claimed jobs.
        aside: Sets deliveries aside that cannot run now.
        caps: Counts a job among its tenant's streams.
        repeat: Publishes the stored result of a finished job again; returns False if it did not.
        job_seconds: Longest time that a claim on a job may last.
        read: Reads jobs; raises InvalidJob.
    """

    claims: Claims
    keep: Keep
    runner: Runner
    aside: Aside
    caps: Caps
    repeat: Callable[[str], bool]
    recorder: Recorder
    clock: Clock
    job_seconds: float
    read: Callable[[bytes], Job] = field(default_factory=lambda: Tenancy().read)
    queue: str = ""
    tracer: Tracer = field(default_factory=Untraced)
    audit: Audit = field(default_factory=Unaudited)

    def take(
        self, body: bytes, interrupt: Interrupt, headers: IngressHeaders = NO_HEADERS
    ) -> DeliveryOutcome:
        """Run the job in a body, unless it is run elsewhere or has ended.

        Raises:
            InvalidJob: The body is no job, and no door has passed it.
        """
        try:
            job = self.read(body)
        except InvalidJob:
            if headers.accepted_at is None:
                raise
            # A door of a later version accepts keys that we do not know. Sent through a door again, the job
            # comes to a worker that knows them, or becomes a dead letter that says what is wrong with it.
            log.warning("job_of_another_version")
            return self._step_aside(body, headers, interrupt)
        parent = headers.traceparent or job.traceparent
        with (
            structlog.contextvars.bound_contextvars(job_id=job.job_id),
            self.tracer.span(f"process {self.queue}", kind="consumer", parent=parent, job_id=job.job_id),
        ):
            outcome = self._take(job, body, interrupt, headers)
            if outcome is not DeliveryOutcome.DONE:
                self.tracer.note("not_done", outcome=outcome.name.lower())
            return outcome

    def _take(self, job: Job, body: bytes, interrupt: Interrupt, headers: IngressHeaders) -> DeliveryOutcome:
        claim: Claim | None = None
        try:
            if self._is_full(job):
                return self._step_aside(body, headers, interrupt)
            found = self._claim(job.job_id, interrupt)
            if isinstance(found, Finished) and not found.undelivered:
                return self._repeated(job.job_id, interrupt)
            if not isinstance(found, Claim):
                return self._step_aside(body, headers, interrupt)
            claim = found
            with (
                structlog.contextvars.bound_contextvars(attempt=claim.attempts),
                self.keep(claim, interrupt, self._until(job)),
            ):
                self._claimed(job, claim)
                self._run(job, body, claim, interrupt, headers)
        except Interrupted as interrupted:
            if interrupted.reason is InterruptReason.CLAIM_LOST:
                return self._lost(job.job_id)
            self._release(claim)
            return self._handed_back(job.job_id, "drain")
        except ClaimLost:
            return self._lost(job.job_id)
        except CapReached:
            self._release(claim)
            return self._step_aside(body, headers, interrupt)
        except BrokerUnavailable:
            self._release(claim)
            return self._handed_back(job.job_id, "unconfirmed")
        except Exception:
            # A bug of ours. Release the claim, so that the next delivery need not wait for its end.
            self._release(claim)
            raise
        return DeliveryOutcome.DONE

    def fail(
        self, body: bytes, headers: IngressHeaders, interrupt: Interrupt, decision: GiveUp
    ) -> DeliveryOutcome:
        """End a job that cannot be run, unless it has ended, or somebody else runs it.

        Raises InvalidJob, or BrokerUnavailable if the end is not confirmed: then do not acknowledge it.
        """
        job = self.read(body)
        try:
            found = self._claim(job.job_id, interrupt)
            if isinstance(found, Finished) and not found.undelivered:
                return DeliveryOutcome.DONE
            if not isinstance(found, Claim):
                return self._step_aside(body, headers, interrupt)
            with self.keep(found, interrupt, None):
                self.runner.fail(job, body, found, decision)
        except Interrupted:
            return self._handed_back(job.job_id, "drain")
        except ClaimLost:
            return self._lost(job.job_id)
        return DeliveryOutcome.DONE

    def _claimed(self, job: Job, claim: Claim) -> None:
        self.audit.record(
            Entry.of(Step.CLAIMED, job, attempt=claim.attempts, fence=claim.fence, takeover=claim.takeover)
        )

    def _waited(self, claim: Claim, headers: IngressHeaders) -> float | None:
        """Seconds the job waited for its first start, cap included; None for a later start or if unknown."""
        # A job with an interaction has been started before: by a worker that handed it back, perhaps.
        again = claim.attempts > 1 or claim.takeover or bool(claim.interaction_id)
        if again or headers.accepted_at is None:
            return None
        waited = max(0.0, (self.clock.wall() - headers.accepted_at).total_seconds())
        self.recorder.observe(catalogue.JOB_WAIT_SECONDS, waited)
        return waited

    def _run(
        self, job: Job, body: bytes, claim: Claim, interrupt: Interrupt, headers: IngressHeaders
    ) -> None:
        try:
            with nullcontext() if self._late(job) else self.caps.admitted(job.tenant, claim.owner, interrupt):
                self.runner.run(job, body, claim, interrupt, self._waited(claim, headers))
        except Interrupted as interrupted:
            if interrupted.reason is not InterruptReason.EXPIRED:
                raise
            self.runner.expire(job, body, claim)

    def _is_full(self, job: Job) -> bool:
        """Whether the tenant's cap has no place for the job now: then it is not worth a claim."""
        return not self._late(job) and self.caps.is_full(job.tenant)

    def _late(self, job: Job) -> bool:
        # A late job is only failed. It opens no stream, so it need not wait for a place at the cap.
        return job.not_after is not None and self.clock.wall() >= job.not_after

    def _claim(self, job_id: str, interrupt: Interrupt) -> Claim | Busy | Finished:
        """Claim a job; wait while Redis is away, and once for a claim that may be a dead worker's."""
        waited = False
        while True:
            try:
                found = self.claims.claim(job_id)
            except LedgerUnavailable as error:
                log.warning("ledger_unavailable", error=str(error))
                interrupt.wait(_PAUSE)
                continue
            self.recorder.count(catalogue.CLAIMS, outcome=found.outcome)
            if isinstance(found, Claim) or (isinstance(found, Finished) and not found.undelivered) or waited:
                return found
            # The delivery of a dead worker's job comes before its claim runs out. If somebody is alive
            # and renews it, we see that afterwards.
            waited = True
            interrupt.wait(found.seconds + _MARGIN if isinstance(found, Busy) else _PAUSE)

    def _until(self, job: Job) -> float | None:
        now = self.clock.monotonic()
        until = now + self.job_seconds
        if job.not_after is not None:
            until = min(until, now + (job.not_after - self.clock.wall()).total_seconds())
        # The runner fails a job that is late already, in an attempt: the claim must not expire before that.
        return max(until, now + _PAUSE)

    def _step_aside(self, body: bytes, headers: IngressHeaders, interrupt: Interrupt) -> DeliveryOutcome:
        if not until_taken(lambda: self.aside.set_aside(body, headers), interrupt):
            return self._handed_back(None, "drain")
        self.recorder.count(catalogue.JOBS_HANDED_BACK, reason="set_aside")
        return DeliveryOutcome.DONE

    def _repeated(self, job_id: str, interrupt: Interrupt) -> DeliveryOutcome:
        answers: list[bool] = []
        if not until_taken(lambda: answers.append(self.repeat(job_id)), interrupt):
            return self._handed_back(job_id, "drain")
        (published,) = answers
        self.recorder.count(catalogue.JOBS_REPEATED, outcome="republished" if published else "dropped")
        log.info("job_repeated", job_id=job_id, republished=published)
        return DeliveryOutcome.DONE

    def _release(self, claim: Claim | None) -> None:
        if claim is None:
            return
        try:
            self.claims.release(claim)
        except LedgerUnavailable as error:
            log.warning("claim_not_released", job_id=claim.job_id, error=str(error))

    def _lost(self, job_id: str) -> DeliveryOutcome:
        self.recorder.count(catalogue.JOBS_HANDED_BACK, reason="claim_lost")
        log.warning("claim_lost", job_id=job_id)
        return DeliveryOutcome.FORFEIT

    def _handed_back(self, job_id: str | None, reason: str) -> DeliveryOutcome:
        self.recorder.count(catalogue.JOBS_HANDED_BACK, reason=reason)
        log.info("job_handed_back", job_id=job_id, reason=reason)
        return DeliveryOutcome.HAND_BACK
