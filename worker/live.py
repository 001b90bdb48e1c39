"""Events that are sent while a job runs, with deterministic ids."""

import structlog

from worker import trace
from worker.clock import Clock
from worker.events import (
    FACTS,
    PROGRESS,
    SEGMENTS,
    STARTED,
    Data,
    Event,
    EventType,
    Facts,
    Progress,
    Segments,
    Started,
    event_id,
)
from worker.job import Job
from worker.ports import LiveEvents, OutletUnavailable

log = structlog.get_logger(__name__)

_TYPES: dict[type, EventType] = {Started: STARTED, Progress: PROGRESS, Segments: SEGMENTS, Facts: FACTS}


class LivePublisher:
    """Publishes the live events of one job.

    Args:
        live: Where to.
        job: The job.
        clock: For time.
    """

    def __init__(self, live: LiveEvents, job: Job, clock: Clock) -> None:
        self._live = live
        self._job = job
        self._clock = clock
        self._sequence: dict[EventType, int] = {}

    def start(self) -> None:
        """Publish that the job has started."""
        self.publish(Started(attempt=1, metadata=self._job.metadata))

    def publish(self, data: Data) -> None:
        """Publish one event, or drop it when the broker is away.

        A live event is a courtesy, and the final one repeats everything in it: a broker that is away
        must not stop the audio.
        """
        event_type = _TYPES[type(data)]
        sequence = 0
        if event_type != STARTED:
            sequence = self._sequence[event_type] = self._sequence.get(event_type, 0) + 1
        event = Event(
            id=event_id(self._job.job_id, event_type, sequence),
            type=event_type,
            subject=self._job.job_id,
            time=self._clock.wall(),
            traceparent=trace.current() or self._job.traceparent,
            data=data,
        )
        try:
            self._live.publish(event, self._job.reply_to)
        except OutletUnavailable:
            log.warning("live_event_dropped", job_id=self._job.job_id, type=event_type)
