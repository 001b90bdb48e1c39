"""Builds what is sent at the end of a job: its final event, and after a failure also its dead letter."""

from datetime import datetime

from worker.contract.dead_letter import DeadLetter, letter_id
from worker.contract.events import COMPLETED, FAILED, Completed, Event, Failed, event_id
from worker.contract.job import Job
from worker.jobs.claims import OutboxEntry
from worker.telemetry import trace


def build_result(
    job: Job, body: bytes, outcome: Completed | Failed, *, queue: str, received_at: datetime, now: datetime
) -> OutboxEntry:
    """Build the outbox entry of a job that has ended.

    Args:
        job: The job.
        body: Its message.
        outcome: How it ended.
        queue: Where the worker took it from, for the dead letter.
        received_at: When this worker began with it.
        now: By the wall clock.
    """
    failed = isinstance(outcome, Failed)
    event = Event(
        id=event_id(job.job_id, FAILED if failed else COMPLETED),
        type=FAILED if failed else COMPLETED,
        subject=job.job_id,
        time=now,
        traceparent=trace.current() or job.traceparent,
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
            letter_id=letter_id(job.job_id),
            queue=queue,
            received_at=received_at,
            dead_at=now,
        ).to_json()
    return OutboxEntry(
        job.job_id, "failed" if failed else "completed", event.type, event.to_json(), job.reply_to, letter
    )
