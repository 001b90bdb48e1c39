"""Events that are sent while a job runs, with ids that say which time it is streamed."""

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
    """Make a call on the thread that asks for it."""
    step()


class LivePublisher:
    """Publishes the live events of one claim on a job.

    Args:
        live: Where to.
        job: The job.
        fence: Of the claim: no other claim on the job has it.
        clock: For time.
        call: Makes the calls to the broker, elsewhere perhaps.
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
        """The job is about to be streamed, once more perhaps.

        Args:
            attempt: Number of the attempt.
            announce: Say so now, and not just before the first live event: a job that waits for the service
                to come back begins again and again.
        """
        self._runs += 1
        self._attempt = attempt
        self._announced = False
        self._sequence.clear()
        if announce:
            self._announce()

    def publish(self, data: Data) -> None:
        """Publish one event, or drop it when the broker is away.

        A live event is a courtesy, and the final one repeats everything in it: a broker that is away
        must not stop the audio. As long as the announcement is not through, the events after it are dropped,
        too: a consumer that missed it would take them for more of what was said before.
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
        """Tell who shows live events to forget what they said before, and to begin again."""
        # Where nobody listens live, one such event is enough, however often the job begins.
        run = self._run if self._job.events else ""
        data = Started(attempt=self._attempt, metadata=self._job.metadata)
        self._announced = self._send(data, event_id(self._job.job_id, STARTED, run=run))

    def _send(self, data: Data, identity: str) -> bool:
        """Publish an event; whether the broker took it."""
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
