"""Live events: sent while a job runs. A job may be streamed several times; the ids say which time it is."""

from collections.abc import Callable

import structlog

from worker.clock import Clock
from worker.contract.events import (
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
from worker.contract.job import Job
from worker.jobs.ports import BrokerUnavailable, LiveEvents
from worker.telemetry import trace

log = structlog.get_logger(__name__)

_TYPES: dict[type, EventType] = {Started: STARTED, Progress: PROGRESS, Segments: SEGMENTS, Facts: FACTS}

Step = Callable[[], None]


def here(step: Step) -> None:
    """Make a call on the caller's own thread."""
    step()


class LivePublisher:
    """Publishes the live events of one claim on a job.

    Args:
        live: Where to.
        job: The job.
        fence: Of the claim: no other claim on the job has it.
        clock: For time.
        call: Makes the calls to the broker, perhaps on another thread.
    """

    def __init__(
        self, live: LiveEvents, job: Job, fence: int, clock: Clock, call: Callable[[Step], None] = here
    ) -> None:
        self._live = live
        self._call = call
        self._job = job
        self._fence = fence
        self._clock = clock
        self._runs = 0
        self._attempt = 1
        self._announced = False
        self._sequence: dict[EventType, int] = {}

    def begin(self, attempt: int, *, announce: bool) -> None:
        """The job is about to be streamed, for the first time or again.

        Args:
            attempt: Number of the attempt.
            announce: Publish `started` now. Otherwise it is published just before the first live event: a job
                that waits for the service to come back begins again and again.
        """
        self._runs += 1
        self._attempt = attempt
        self._announced = False
        self._sequence.clear()
        if announce:
            self._announce()

    def publish(self, data: Data) -> None:
        """Publish one event, or drop it when the broker is away.

        Live events are optional, and the final event repeats everything in them: a broker that is away must
        not stop the audio. Until `started` is published, the events after it are dropped, too: a consumer
        that missed it would take them for a continuation of the time before.
        """
        if not self._announced:
            self._announce()
        if not self._announced:
            return
        event_type = _TYPES[type(data)]
        self._sequence[event_type] = self._sequence.get(event_type, 0) + 1
        self._send(data, event_id(self._job.job_id, event_type, self._sequence[event_type], self._run))

    @property
    def _run(self) -> str:
        return f"{self._fence}.{self._runs}"

    def _announce(self) -> None:
        """Publish `started`: a consumer of live events then discards the earlier ones and begins again."""
        # Without live events, all `started` of a job have one id: one is enough, however often it begins.
        run = self._run if self._job.events else ""
        data = Started(attempt=self._attempt, metadata=self._job.metadata)
        self._announced = self._send(data, event_id(self._job.job_id, STARTED, run=run))

    def _send(self, data: Data, identity: str) -> bool:
        """Publish an event; returns whether the broker took it."""
        event_type = _TYPES[type(data)]
        event = Event(
            id=identity,
            type=event_type,
            subject=self._job.job_id,
            time=self._clock.wall(),
            traceparent=trace.current() or self._job.traceparent,
            data=data,
        )
        try:
            self._call(lambda: self._live.publish(event, self._job.reply_to))
        except BrokerUnavailable:
            log.warning("live_event_dropped", job_id=self._job.job_id, type=event_type)
            return False
        return True
