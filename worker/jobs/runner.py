"""One delivery from its claim to its confirmed result: attempts, decisions, events, dead letters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from worker.clock import Clock
from worker.concurrency.interrupt import Interrupt, Interrupted, InterruptReason
from worker.contract.errors import JobError, PermanentError, Reason, TransientError
from worker.contract.events import Completed, Data, Failed
from worker.contract.job import Job
from worker.contract.tenancy import UNKNOWN
from worker.jobs.claims import Attempts, Claim, LedgerUnavailable, Outbox, OutboxEntry
from worker.jobs.job_report import JobReport
from worker.jobs.live import LivePublisher
from worker.jobs.ports import BrokerUnavailable, Interaction, Publisher, Waiter
from worker.jobs.result import build_result
from worker.jobs.retry import OUTAGES, GiveUp, RetryPolicy, RetryState
from worker.jobs.retry_until import until_stored
from worker.jobs.transcribe import Attempt, Transcriber
from worker.telemetry import catalogue
from worker.telemetry.audit import Audit, Unaudited
from worker.telemetry.recorder import Recorder
from worker.telemetry.trace import Tracer, Untraced

log = structlog.get_logger(__name__)

_OUT_OF_TIME = GiveUp(Reason.EXPIRED, "the job's time ran out: its not_after, or CORTI_WORKER_JOB_SECONDS")
_NO_CREDENTIALS = (
    "this worker has no credentials for the job's tenant; see CORTI_TENANT and CORTI_WORKER_TENANTS_DIR"
)
_NO_TENANT = "the job names no tenant, and this worker has no default; see CORTI_CLIENT_ID"


@dataclass(frozen=True, slots=True)
class _Outage:
    """Tries in a row that met an outage, and when the first of them failed."""

    tries: int
    since: float


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs claimed jobs. One object serves all job threads; it holds no state of a job.

    Attributes:
        transcribers: What transcribes each tenant's jobs, with that tenant's credentials and no others.
        live: Makes the publisher of a job's live events, from the job and the fence of its claim.
        queue: Where jobs are taken from, for dead letters.
        build_result: See `worker.jobs.result`; it takes a while for long transcripts.
    """

    transcribers: Mapping[str, Transcriber]
    live: Callable[[Job, int], LivePublisher]
    publisher: Publisher
    outbox: Outbox
    attempts: Attempts
    retry: RetryPolicy
    recorder: Recorder
    clock: Clock
    waiter: Waiter
    chance: Callable[[], float]
    patience: float
    queue: str = ""
    build_result: Callable[..., OutboxEntry] = build_result
    tracer: Tracer = field(default_factory=Untraced)
    audit: Audit = field(default_factory=Unaudited)

    def run(
        self, job: Job, body: bytes, claim: Claim, interrupt: Interrupt, waited: float | None = None
    ) -> None:
        """Run a job and return when its final event is confirmed.

        Args:
            job: The job.
            body: Its message.
            claim: The right to run it.
            interrupt: Ends it early.
            waited: Seconds it waited for its first start, if this is it.

        Raises:
            Interrupted: The worker stops, or the claim was lost.
            ClaimLost: Somebody else has the claim: nothing was published.
            BrokerUnavailable: The result is not confirmed; the delivery must not be acknowledged.
        """
        received_at = self.clock.wall()
        self.recorder.count(catalogue.JOBS_RECEIVED)
        report = self._report(job, claim, waited)
        known = Interaction(claim.interaction_id, claim.stream_url) if claim.interaction_id else None
        attempt = Attempt(
            claim.attempts, known, remember=lambda found: self._remember(claim, found), observer=report
        )
        try:
            outcome = self._attempts(report, attempt, interrupt)
        except Interrupted as interrupted:
            if interrupted.reason is not InterruptReason.EXPIRED:
                raise
            outcome = _failed(job, attempt, _OUT_OF_TIME)
        self._end(job, body, claim, outcome, received_at)
        report.finished(outcome)

    def expire(self, job: Job, body: bytes, claim: Claim) -> None:
        """Fail a job whose time ran out before it could begin. Raises like `run`."""
        self.fail(job, body, claim, _OUT_OF_TIME)

    def fail(self, job: Job, body: bytes, claim: Claim, decision: GiveUp) -> None:
        """Fail a job without another attempt. Raises like `run`."""
        report = self._report(job, claim, None)
        outcome = _failed(job, Attempt(claim.attempts), decision)
        self._end(job, body, claim, outcome, self.clock.wall())
        report.finished(outcome)

    def _report(self, job: Job, claim: Claim, waited: float | None) -> JobReport:
        tenant = job.tenant if job.tenant and job.tenant in self.transcribers else UNKNOWN
        return JobReport(job, claim, self.recorder, self.tracer, self.audit, self.clock, tenant, waited)

    def _end(
        self, job: Job, body: bytes, claim: Claim, outcome: Completed | Failed, received_at: datetime
    ) -> None:
        """Store the end of a job, deliver it, and note that."""
        outbox_entry = self.build_result(
            job, body, outcome, queue=self.queue, received_at=received_at, now=self.clock.wall()
        )
        until_stored(lambda: self.outbox.store(claim, outbox_entry), self.patience, self.clock, self.waiter)
        self.publisher.deliver(outbox_entry)
        until_stored(lambda: self.outbox.delivered(job.job_id), self.patience, self.clock, self.waiter)

    def _attempts(self, report: JobReport, attempt: Attempt, interrupt: Interrupt) -> Completed | Failed:
        job = report.job
        publisher = self.live(job, report.claim.fence)
        if attempt.number > self.retry.attempts:
            # Only workers that died can have used up the attempts: a job that kills its worker ends here.
            died = "the workers that ran this job died; see their logs and the audio"
            used_up = replace(attempt, number=attempt.number - 1)
            return _failed(job, used_up, GiveUp(Reason.ATTEMPTS_EXHAUSTED, died))
        outage = _Outage(0, 0.0)
        # `started` is always published for the first start, and for later ones if the job wants live events.
        announce = attempt.number == 1
        while True:
            if announce or job.events:
                publisher.begin(attempt.number, announce=announce)
            announce = False
            failure = self._attempt(job, attempt, interrupt, publisher.publish)
            if isinstance(failure, Completed):
                return failure
            interrupt.check()
            outage = self._outage(failure, outage)
            state = RetryState(attempt.number, outage.tries, self.clock.monotonic() - outage.since)
            decision = self.retry.decide(failure, state, self.chance(), self.clock.wall(), job.not_after)
            if isinstance(decision, GiveUp):
                return _failed(job, attempt, decision)
            report.retried(failure, attempt.number, decision.delay)
            interrupt.wait(decision.delay)
            if decision.counts:
                attempt.number = self._next_number(report.claim, attempt.number)
                structlog.contextvars.bind_contextvars(attempt=attempt.number)

    def _outage(self, failure: JobError, before: "_Outage") -> "_Outage":
        if failure.reason not in OUTAGES:
            return _Outage(0, self.clock.monotonic())
        return _Outage(before.tries + 1, before.since if before.tries else self.clock.monotonic())

    def _attempt(
        self, job: Job, attempt: Attempt, interrupt: Interrupt, report: Callable[[Data], None]
    ) -> Completed | JobError:
        try:
            return self._admit(job).transcribe(job, attempt, interrupt, report)
        except JobError as error:
            return error
        except (Interrupted, BrokerUnavailable):
            raise
        except Exception as error:  # noqa: BLE001  # a bug of ours must not lose a consultation
            # Only the type's name: the text of a foreign exception may hold anything.
            log.error("attempt_broke", job_id=job.job_id, attempt=attempt.number, error=type(error).__name__)
            return TransientError(
                Reason.INTERNAL_ERROR, "the worker has a fault; see attempt_broke in its log"
            )

    def _admit(self, job: Job) -> Transcriber:
        transcriber = self.transcribers.get(job.tenant or "")
        if transcriber is None:
            raise PermanentError(Reason.UNKNOWN_TENANT, _NO_CREDENTIALS if job.tenant else _NO_TENANT)
        if job.not_after is not None and self.clock.wall() >= job.not_after:
            raise PermanentError(Reason.EXPIRED, "the job's not_after has passed")
        return transcriber

    def _remember(self, claim: Claim, interaction: Interaction) -> None:
        try:
            self.attempts.remember(claim, interaction.id, interaction.stream_url)
        except LedgerUnavailable as error:
            log.warning("interaction_not_remembered", job_id=claim.job_id, error=str(error))

    def _next_number(self, claim: Claim, number: int) -> int:
        try:
            return self.attempts.again(claim)
        except LedgerUnavailable:
            return number + 1


def _failed(job: Job, attempt: Attempt, decision: GiveUp) -> Failed:
    return Failed(
        reason=decision.reason,
        detail=decision.detail,
        cause=decision.cause,
        attempts=attempt.number,
        interaction_id=attempt.interaction.id if attempt.interaction else None,
        metadata=job.metadata,
    )
