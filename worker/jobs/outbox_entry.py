"""The end of a job as what is sent: its final event, and with a failure its dead letter."""

from dataclasses import dataclass
from datetime import datetime

from worker.clock import Clock
from worker.contract.dead_letter import DeadLetter, letter_id
from worker.contract.events import COMPLETED, FAILED, Completed, Event, Failed, event_id
from worker.contract.job import Job
from worker.jobs.claims import OutboxEntry
from worker.telemetry import trace


@dataclass(frozen=True, slots=True)
class Packer:
    """Makes outbox entries.

    Attributes:
        queue: Where the worker takes jobs from, for dead letters.
        clock: For time.
    """

    queue: str
    clock: Clock

    def pack(self, job: Job, body: bytes, outcome: Completed | Failed, received_at: datetime) -> OutboxEntry:
        """Pack the end of a job.

        Args:
            job: The job.
            body: Its message.
            outcome: How it ended.
            received_at: When this worker began with it.
        """
        failed = isinstance(outcome, Failed)
        event = Event(
            id=event_id(job.job_id, FAILED if failed else COMPLETED),
            type=FAILED if failed else COMPLETED,
            subject=job.job_id,
            time=self.clock.wall(),
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
                queue=self.queue,
                received_at=received_at,
                dead_at=self.clock.wall(),
            ).to_json()
        return OutboxEntry(
            job.job_id, "failed" if failed else "completed", event.type, event.to_json(), job.reply_to, letter
        )
