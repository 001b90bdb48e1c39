"""One delivery from its claim to its confirmed result: attempts, decisions, events, dead letters."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from worker import measures
from worker.claims import Attempts, Claim, LedgerUnavailable, Outbox, Parcel
from worker.clock import Clock, Deadline
from worker.dead_letter import DeadLetter
from worker.errors import JobError, PermanentError, Reason, TransientError
from worker.events import COMPLETED, FAILED, Completed, Data, Event, Failed, Started, event_id
from worker.interrupt import Interrupt, Interrupted, Why
from worker.job import Job
from worker.live import LivePublisher
from worker.ports import Interaction, LiveEvents, Outlet, OutletUnavailable, Recorder
from worker.retry import OUTAGES, GiveUp, RetryPolicy, Trouble
from worker.transcribe import Attempt, Transcriber

log = structlog.get_logger(__name__)

_PAUSE = 1.0
_OUT_OF_TIME = GiveUp(Reason.EXPIRED, "the job's time ran out: its not_after, or CORTI_WORKER_JOB_SECONDS")


@dataclass(frozen=True, slots=True)
class _Outage:
    """Tries in a row that met an outage, and when the first of them failed."""

    tries: int
    since: float


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs claimed jobs. One object serves all job threads; it holds no state of a job."""

    transcriber: Transcriber
    live: LiveEvents
    outlet: Outlet
    outbox: Outbox
    attempts: Attempts
    retry: RetryPolicy
    recorder: Recorder
    clock: Clock
    chance: Callable[[], float]
    tenant: str
    queue: str
    patience: float

    def run(self, job: Job, body: bytes, claim: Claim, interrupt: Interrupt) -> None:
        """Run a job and return when its final event is confirmed.

        Raises:
            Interrupted: The worker stops, or the claim was lost.
            ClaimLost: Somebody else has the claim: nothing was published.
            OutletUnavailable: The result is not confirmed; the delivery must not be acknowledged.
        """
        started, received_at = self.clock.monotonic(), self.clock.wall()
        self.recorder.count(measures.JOBS_RECEIVED)
        known = Interaction(claim.interaction_id, claim.stream_url) if claim.interaction_id else None
        attempt = Attempt(claim.attempts, known, remember=lambda found: self._remember(claim, found))
        try:
            outcome = self._attempts(job, attempt, claim, interrupt)
        except Interrupted as interrupted:
            if interrupted.why is not Why.EXPIRED:
                raise
            outcome = _failed(job, attempt, _OUT_OF_TIME)
        self._end(job, body, claim, outcome, received_at)
        self._finished(job, outcome, self.clock.monotonic() - started)

    def expire(self, job: Job, body: bytes, claim: Claim) -> None:
        """Fail a job whose time ran out before it could begin. Raises like `run`."""
        outcome = _failed(job, Attempt(claim.attempts), _OUT_OF_TIME)
        self._end(job, body, claim, outcome, self.clock.wall())
        self._finished(job, outcome, 0.0)

    def _end(
        self, job: Job, body: bytes, claim: Claim, outcome: Completed | Failed, received_at: datetime
    ) -> None:
        """Store the end of a job, deliver it, and note that."""
        parcel = self._parcel(job, body, outcome, received_at)
        self._insist(lambda: self.outbox.store(claim, parcel))
        self.outlet.deliver(parcel)
        self._insist(lambda: self.outbox.delivered(job.job_id))

    def _attempts(self, job: Job, attempt: Attempt, claim: Claim, interrupt: Interrupt) -> Completed | Failed:
        publisher = LivePublisher(self.live, job, self.clock)
        if attempt.number == 1:
            publisher.publish(Started(attempt=1, metadata=job.metadata))
        if attempt.number > self.retry.attempts:
            # Only workers that died can have used them up: a job that kills its worker ends here.
            died = "the workers that ran this job died; see their logs and the audio"
            used_up = replace(attempt, number=attempt.number - 1)
            return _failed(job, used_up, GiveUp(Reason.ATTEMPTS_EXHAUSTED, died))
        outage = _Outage(0, 0.0)
        while True:
            failure = self._attempt(job, attempt, interrupt, publisher.publish)
            if isinstance(failure, Completed):
                return failure
            interrupt.check()
            outage = self._outage(failure, outage)
            trouble = Trouble(attempt.number, outage.tries, self.clock.monotonic() - outage.since)
            decision = self.retry.decide(failure, trouble, self.chance(), self.clock.wall(), job.not_after)
            if isinstance(decision, GiveUp):
                return _failed(job, attempt, decision)
            self.recorder.count(measures.JOBS_RETRIED, reason=failure.reason)
            log.info(
                "attempt_failed",
                job_id=job.job_id,
                attempt=attempt.number,
                reason=failure.reason.value,
                next_in=round(decision.delay, 1),
            )
            interrupt.wait(decision.delay)
            if decision.counts:
                attempt.number = self._next_number(claim, attempt.number)

    def _outage(self, failure: JobError, before: "_Outage") -> "_Outage":
        if failure.reason not in OUTAGES:
            return _Outage(0, self.clock.monotonic())
        return _Outage(before.tries + 1, before.since if before.tries else self.clock.monotonic())

    def _attempt(
        self, job: Job, attempt: Attempt, interrupt: Interrupt, report: Callable[[Data], None]
    ) -> Completed | JobError:
        try:
            self._admit(job)
            return self.transcriber.transcribe(job, attempt, interrupt, report)
        except JobError as error:
            return error
        except (Interrupted, OutletUnavailable):
            raise
        except Exception as error:  # noqa: BLE001  # a bug of ours must not lose a consultation
            # Only the type's name: the text of a foreign exception may hold anything.
            log.error("attempt_broke", job_id=job.job_id, attempt=attempt.number, error=type(error).__name__)
            return TransientError(
                Reason.INTERNAL_ERROR, "the worker has a fault; see attempt_broke in its log"
            )

    def _admit(self, job: Job) -> None:
        if job.tenant not in {None, self.tenant}:
            raise PermanentError(
                Reason.UNKNOWN_TENANT, "this worker has no credentials for the job's tenant; see CORTI_TENANT"
            )
        if job.not_after is not None and self.clock.wall() >= job.not_after:
            raise PermanentError(Reason.EXPIRED, "the job's not_after has passed")

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

    def _insist(self, step: Callable[[], None]) -> None:
        """Repeat a step of the ledger until Redis takes it, within patience."""
        deadline = Deadline.after(self.patience, self.clock.monotonic())
        pause = Interrupt()
        while True:
            try:
                return step()
            except LedgerUnavailable as error:
                if deadline.passed(self.clock.monotonic()):
                    raise OutletUnavailable(str(error)) from None
                log.warning("ledger_unavailable", error=str(error))
            pause.wait(_PAUSE)

    def _parcel(self, job: Job, body: bytes, outcome: Completed | Failed, received_at: datetime) -> Parcel:
        failed = isinstance(outcome, Failed)
        event = Event(
            id=event_id(job.job_id, FAILED if failed else COMPLETED),
            type=FAILED if failed else COMPLETED,
            subject=job.job_id,
            time=self.clock.wall(),
            traceparent=job.traceparent,
            data=outcome,
        )
        letter = None
        if isinstance(outcome, Failed):
            letter = DeadLetter.of(
                body,
                reason=outcome.reason,
                detail=outcome.detail,
                cause=outcome.cause,
                job_id=job.job_id,
                attempts=outcome.attempts,
                queue=self.queue,
                received_at=received_at,
                dead_at=self.clock.wall(),
            ).to_json()
        return Parcel(
            job.job_id, "failed" if failed else "completed", event.type, event.to_json(), job.reply_to, letter
        )

    def _finished(self, job: Job, outcome: Completed | Failed, seconds: float) -> None:
        self.recorder.observe(measures.JOB_SECONDS, seconds)
        if isinstance(outcome, Completed):
            self.recorder.count(measures.JOBS_FINISHED, outcome="completed", reason="none")
            self.recorder.count(measures.SEGMENTS, sum(segment.final for segment in outcome.segments))
            self.recorder.count(measures.FACTS, len(outcome.facts))
            self.recorder.count(measures.CREDITS, outcome.credits or 0.0)
            log.info(
                "job_completed",
                job_id=job.job_id,
                attempts=outcome.attempts,
                interaction_id=outcome.interaction_id,
                seconds=round(seconds, 3),
                audio_seconds=round(outcome.audio.seconds, 3),
                segments=len(outcome.segments),
                facts=len(outcome.facts),
            )
            return
        self.recorder.count(measures.JOBS_FINISHED, outcome="failed", reason=outcome.reason)
        self.recorder.count(measures.DEAD_LETTERS, reason=outcome.reason)
        log.warning(
            "job_failed",
            job_id=job.job_id,
            attempts=outcome.attempts,
            reason=outcome.reason.value,
            cause=outcome.cause.value if outcome.cause else None,
            seconds=round(seconds, 3),
        )


def _failed(job: Job, attempt: Attempt, decision: GiveUp) -> Failed:
    return Failed(
        reason=decision.reason,
        detail=decision.detail,
        cause=decision.cause,
        attempts=attempt.number,
        interaction_id=attempt.interaction.id if attempt.interaction else None,
        metadata=job.metadata,
    )
