"""What is reported of a job: its metrics, its audit trail, and one log line with its figures at its end."""

from dataclasses import dataclass, field

import structlog

from worker.clock import Clock
from worker.contract.errors import JobError
from worker.contract.events import AudioFigures, Completed, Failed
from worker.contract.job import Job
from worker.contract.tenancy import UNKNOWN
from worker.jobs.claims import Claim
from worker.jobs.transcribe import AttemptObserver
from worker.telemetry import catalogue
from worker.telemetry.audit import Audit, Entry, Step
from worker.telemetry.recorder import Recorder
from worker.telemetry.trace import Tracer

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class JobReport(AttemptObserver):
    """The report on one claim on one job.

    Attributes:
        tenant: The job's tenant if this worker serves it, else `unknown`: producers may write any name.
        waited: Seconds between the door's acceptance and the first start; None where that is not known.
        retries: How many tries failed and were repeated, by reason code.
        paused: Seconds spent between attempts.
        streamed_seconds: Of audio, in all attempts.
        first_segment: Seconds from the open stream to its first segment, in the last attempt.
    """

    job: Job
    claim: Claim
    recorder: Recorder
    tracer: Tracer
    audit: Audit
    clock: Clock
    tenant: str = UNKNOWN
    waited: float | None = None
    retries: dict[str, int] = field(default_factory=dict)
    paused: float = 0.0
    streamed_seconds: float = 0.0
    first_segment: float | None = None
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.clock.monotonic()

    def opened(self) -> None:
        """See `AttemptObserver`."""
        self.first_segment = None
        self.tracer.note("stream_open")

    def heard(self, first: float | None) -> None:
        """See `AttemptObserver`."""
        # Not the time of this call: without live events, segments come here in batches, minutes later.
        if self.first_segment is None and first is not None:
            self.first_segment = first
            self.recorder.observe(catalogue.FIRST_SEGMENT_SECONDS, self.first_segment)
            self.tracer.note("first_segment")

    def streamed(self, figures: AudioFigures, interaction_id: str, failure: JobError | None) -> None:
        """See `AttemptObserver`."""
        self.streamed_seconds += figures.seconds
        reason = failure.reason.value if failure else None
        self.audit.record(
            Entry.of(
                Step.STREAMED,
                self.job,
                reason=reason,
                interaction=interaction_id,
                audio_seconds=figures.seconds,
                audio_bytes=figures.bytes,
            )
        )

    def retried(self, failure: JobError, attempt: int, pause: float) -> None:
        """An attempt failed and will be tried again after a pause."""
        self.retries[failure.reason.value] = self.retries.get(failure.reason.value, 0) + 1
        self.paused += pause
        self.recorder.count(catalogue.JOBS_RETRIED, reason=failure.reason)
        self.tracer.note("attempt_failed", reason=failure.reason.value, attempt=attempt)
        log.info(
            "attempt_failed",
            job_id=self.job.job_id,
            tenant=self.tenant,
            attempt=attempt,
            reason=failure.reason.value,
            next_in=round(pause, 1),
        )

    def finished(self, outcome: Completed | Failed) -> None:
        """The job's final event is confirmed."""
        seconds = self.clock.monotonic() - self._started
        self.recorder.observe(catalogue.JOB_SECONDS, seconds)
        outcome_name = "completed" if isinstance(outcome, Completed) else "failed"
        self.recorder.count(catalogue.TENANT_JOBS_FINISHED, tenant=self.tenant, outcome=outcome_name)
        story: dict[str, object] = {
            "tenant": self.tenant,
            "attempts": outcome.attempts,
            "interaction_id": outcome.interaction_id,
            "seconds": round(seconds, 3),
            "waited": None if self.waited is None else round(self.waited, 3),
            "paused": round(self.paused, 3),
            "retries": self.retries,
            "takeover": self.claim.takeover,
            "streamed_seconds": round(self.streamed_seconds, 3),
            "first_segment": None if self.first_segment is None else round(self.first_segment, 3),
        }
        if isinstance(outcome, Completed):
            self._completed(outcome, seconds, story)
        else:
            self._failed(outcome, story)

    def _completed(self, outcome: Completed, seconds: float, story: dict[str, object]) -> None:
        overhead = max(0.0, seconds - outcome.audio.seconds / self.job.pace)
        self.recorder.observe(catalogue.JOB_AUDIO_SECONDS, outcome.audio.seconds)
        self.recorder.observe(catalogue.JOB_OVERHEAD_SECONDS, overhead)
        self.recorder.count(catalogue.JOBS_FINISHED, outcome="completed", reason="none")
        self.recorder.count(catalogue.SEGMENTS, sum(segment.final for segment in outcome.segments))
        self.recorder.count(catalogue.FACTS, len(outcome.facts))
        self.recorder.count(catalogue.CREDITS, outcome.credits or 0.0)
        self.audit.record(Entry.of(Step.PUBLISHED, self.job, attempts=outcome.attempts))
        log.info(
            "job_completed",
            job_id=self.job.job_id,
            audio_seconds=round(outcome.audio.seconds, 3),
            segments=len(outcome.segments),
            facts=len(outcome.facts),
            credits=outcome.credits,
            warnings=len(outcome.warnings),
            **story,
        )

    def _failed(self, outcome: Failed, story: dict[str, object]) -> None:
        self.recorder.count(catalogue.JOBS_FINISHED, outcome="failed", reason=outcome.reason)
        self.recorder.count(catalogue.DEAD_LETTERS, reason=outcome.reason)
        self.tracer.note("job_failed", reason=outcome.reason.value)
        self.audit.record(
            Entry.of(Step.FAILED, self.job, reason=outcome.reason.value, attempts=outcome.attempts)
        )
        log.warning(
            "job_failed",
            job_id=self.job.job_id,
            reason=outcome.reason.value,
            cause=outcome.cause.value if outcome.cause else None,
            **story,
        )
