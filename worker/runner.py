"""One delivery from taking it up to its confirmed result: attempts, decisions, events, dead letters."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from worker import measures
from worker.clock import Clock
from worker.dead_letter import DeadLetter
from worker.errors import JobError, PermanentError, Reason, TransientError
from worker.events import (
    COMPLETED,
    FACTS,
    FAILED,
    FINAL,
    PROGRESS,
    SEGMENTS,
    STARTED,
    Completed,
    Data,
    Event,
    EventType,
    Facts,
    Failed,
    Progress,
    Segments,
    Started,
    event_id,
)
from worker.job import Job
from worker.ports import Outlet, OutletUnavailable, Recorder, Waiter
from worker.retry import GiveUp, RetryPolicy
from worker.transcribe import Attempt, Transcriber

log = structlog.get_logger(__name__)

_TYPES: dict[type, EventType] = {
    Started: STARTED,
    Progress: PROGRESS,
    Segments: SEGMENTS,
    Facts: FACTS,
    Completed: COMPLETED,
    Failed: FAILED,
}


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs deliveries. One object serves all job threads; it holds no state of a job."""

    transcriber: Transcriber
    outlet: Outlet
    retry: RetryPolicy
    recorder: Recorder
    clock: Clock
    waiter: Waiter
    chance: Callable[[], float]
    tenant: str
    queue: str

    def run(self, body: bytes) -> None:
        """Run the job in `body` and return when its final event is confirmed.

        Raises:
            InvalidJob: The body is no job; the door should have stopped it.
            OutletUnavailable: The result is not confirmed; the delivery must not be acknowledged.
        """
        started, received_at = self.clock.monotonic(), self.clock.wall()
        job = Job.from_message(body)
        self.recorder.count(measures.JOBS_RECEIVED)
        publisher = _Publisher(self.outlet, job, self.clock)
        attempt = Attempt()
        outcome = self._attempts(job, attempt, publisher.publish)
        if isinstance(outcome, Failed):
            self._bury(body, job, outcome, received_at)
        publisher.publish(outcome)
        self._finished(job, outcome, self.clock.monotonic() - started)

    def _attempts(self, job: Job, attempt: Attempt, publish: Callable[[Data], None]) -> Completed | Failed:
        while True:
            if attempt.number == 1:
                publish(Started(attempt=1, metadata=job.metadata))
            try:
                self._admit(job)
                return self.transcriber.transcribe(job, attempt, publish)
            except JobError as error:
                failure = error
            except OutletUnavailable:
                raise
            except Exception as error:  # noqa: BLE001  # a bug of ours must not lose a consultation
                # Only the type's name: the text of a foreign exception may hold anything.
                log.error(
                    "attempt_broke", job_id=job.job_id, attempt=attempt.number, error=type(error).__name__
                )
                failure = TransientError(
                    Reason.INTERNAL_ERROR, "the worker has a fault; see attempt_broke in its log"
                )
            decision = self.retry.decide(
                failure, attempt.number, self.chance(), self.clock.wall(), job.not_after
            )
            if isinstance(decision, GiveUp):
                return Failed(
                    reason=decision.reason,
                    detail=decision.detail,
                    cause=decision.cause,
                    attempts=attempt.number,
                    interaction_id=attempt.interaction.id if attempt.interaction else None,
                    metadata=job.metadata,
                )
            self.recorder.count(measures.JOBS_RETRIED, reason=failure.reason)
            log.info(
                "attempt_failed",
                job_id=job.job_id,
                attempt=attempt.number,
                reason=failure.reason.value,
                next_in=round(decision.delay, 1),
            )
            self.waiter.wait(decision.delay)
            attempt.number += 1

    def _admit(self, job: Job) -> None:
        if job.tenant not in {None, self.tenant}:
            raise PermanentError(
                Reason.UNKNOWN_TENANT, "this worker has no credentials for the job's tenant; see CORTI_TENANT"
            )
        if job.not_after is not None and self.clock.wall() >= job.not_after:
            raise PermanentError(Reason.EXPIRED, "the job's not_after has passed")

    def _bury(self, body: bytes, job: Job, failed: Failed, received_at: datetime) -> None:
        self.outlet.bury(
            DeadLetter.of(
                body,
                reason=failed.reason,
                detail=failed.detail,
                cause=failed.cause,
                job_id=job.job_id,
                attempts=failed.attempts,
                queue=self.queue,
                received_at=received_at,
                dead_at=self.clock.wall(),
            )
        )
        self.recorder.count(measures.DEAD_LETTERS, reason=failed.reason)

    def _finished(self, job: Job, outcome: Completed | Failed, seconds: float) -> None:
        self.recorder.observe(measures.JOB_SECONDS, seconds)
        if isinstance(outcome, Completed):
            self.recorder.count(measures.JOBS_FINISHED, outcome="completed", reason="none")
            self.recorder.count(measures.SEGMENTS, sum(segment.final for segment in outcome.segments))
            self.recorder.count(measures.FACTS, len(outcome.facts))
            self.recorder.count(measures.CREDITS, outcome.credits or 0.0)
            numbers = {
                "audio_seconds": round(outcome.audio.seconds, 3),
                "segments": len(outcome.segments),
                "facts": len(outcome.facts),
            }
            log.info(
                "job_completed",
                job_id=job.job_id,
                attempts=outcome.attempts,
                interaction_id=outcome.interaction_id,
                seconds=round(seconds, 3),
                **numbers,
            )
        else:
            self.recorder.count(measures.JOBS_FINISHED, outcome="failed", reason=outcome.reason)
            log.warning(
                "job_failed",
                job_id=job.job_id,
                attempts=outcome.attempts,
                reason=outcome.reason.value,
                cause=outcome.cause.value if outcome.cause else None,
                seconds=round(seconds, 3),
            )


class _Publisher:
    """Turns event data of one job into events with deterministic ids, and publishes them."""

    def __init__(self, outlet: Outlet, job: Job, clock: Clock) -> None:
        self._outlet = outlet
        self._job = job
        self._clock = clock
        self._sequence: dict[EventType, int] = {}

    def publish(self, data: Data) -> None:
        event_type = _TYPES[type(data)]
        numbered = event_type in {PROGRESS, SEGMENTS, FACTS}
        if numbered:
            self._sequence[event_type] = self._sequence.get(event_type, 0) + 1
        event = Event(
            id=event_id(self._job.job_id, event_type, self._sequence.get(event_type, 0)),
            type=event_type,
            subject=self._job.job_id,
            time=self._clock.wall(),
            traceparent=self._job.traceparent,
            data=data,
        )
        try:
            self._outlet.publish(event, self._job.reply_to)
        except OutletUnavailable:
            # A live event is a courtesy, the final one repeats everything in it: a broker that is
            # away must not stop the audio. The final event has no such excuse.
            if event_type in FINAL:
                raise
            log.warning("live_event_dropped", job_id=self._job.job_id, type=event_type)
