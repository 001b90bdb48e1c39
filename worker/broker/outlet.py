"""Results and dead letters out, on either broker. Implements the ports `LiveEvents`, `Outlet` and `Aside`.

Final events and dead letters are offered until the broker has them, within the outlet's patience;
live events once.
"""

import random
from contextlib import suppress
from typing import Protocol

import structlog

from worker.broker.senders import Sender
from worker.clock import Clock, Deadline
from worker.concurrency.heartbeat import waiting
from worker.contract.dead_letter import DeadLetter, letter_id
from worker.contract.events import Event
from worker.jobs.arrival import Arrival
from worker.jobs.claims import Parcel
from worker.jobs.ports import OutletUnavailable, ReplyRefused, Waiter
from worker.telemetry import measures
from worker.telemetry.recorder import Recorder

log = structlog.get_logger(__name__)

_LIVE_PAUSE = 15.0
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
#: Seconds that a reply queue is tried which refuses. A quorum queue that is just being made does for a
#: moment; others will for longer, and whoever waits here has other jobs' results to deliver.
_REFUSED_PATIENCE = 3.0
#: Jobs whose dead letter has arrived and whose event has not, as many as are remembered.
_MOST_BURIED = 10_000


class PatientOutlet:
    """Offers messages to a sender until it takes them or patience ends.

    Args:
        sender: The broker's side.
        patience: Seconds a final event or a dead letter is offered.
        recorder: For metrics.
        clock: For time.
        waiter: For waiting.
    """

    def __init__(
        self, sender: Sender, *, patience: float, recorder: Recorder, clock: Clock, waiter: Waiter
    ) -> None:
        self._sender = sender
        self._patience = patience
        self._recorder = recorder
        self._clock = clock
        self._waiter = waiter
        self._live_again = Deadline(0.0)
        self._buried: dict[str, None] = {}

    def publish(self, event: Event, reply_to: str | None) -> None:
        """See `worker.jobs.ports.LiveEvents`."""
        # Each try on a broker that does not answer costs seconds of a thread that has audio to feed.
        if not self._live_again.passed(self._clock.monotonic()):
            raise OutletUnavailable("the broker was away a moment ago")
        try:
            with waiting():
                self._sender.send_event(event.to_json(), event.type, reply_to)
        except ReplyRefused:
            raise  # the broker answered, and takes what others publish
        except OutletUnavailable:
            self._live_again = Deadline.after(_LIVE_PAUSE, self._clock.monotonic())
            raise
        self._recorder.count(measures.EVENTS_PUBLISHED, type=event.type)

    def deliver(self, parcel: Parcel) -> None:
        """See `worker.jobs.ports.Outlet`."""
        letter = parcel.letter
        if letter is not None and parcel.job_id not in self._buried:
            self._insist(lambda: self._sender.send_dead_letter(letter, letter_id(parcel.job_id)))
            self._note_buried(parcel.job_id)
        self._insist(lambda: self._sender.send_event(parcel.event, parcel.event_type, parcel.reply_to))
        self._buried.pop(parcel.job_id, None)
        self._recorder.count(measures.EVENTS_PUBLISHED, type=parcel.event_type)

    def set_aside(self, body: bytes, arrival: Arrival) -> None:
        """See `worker.jobs.ports.Aside`."""
        with waiting():
            self._sender.send_aside(body, arrival)

    def bury(self, letter: DeadLetter) -> None:
        """See `worker.jobs.ports.Outlet`."""
        body = letter.to_json()
        self._insist(lambda: self._sender.send_dead_letter(body, letter.id or letter.sha256))

    def _note_buried(self, job_id: str) -> None:
        """The dead letter of a job has arrived: no further try of its event sends it again."""
        self._buried[job_id] = None
        if len(self._buried) > _MOST_BURIED:
            with suppress(KeyError, StopIteration):  # another thread was quicker
                del self._buried[next(iter(self._buried))]

    def _insist(self, send: "Send") -> None:
        began = self._clock.monotonic()
        deadline = Deadline.after(self._patience, began)
        refused = Deadline.after(min(self._patience, _REFUSED_PATIENCE), began)
        wait = _FIRST_WAIT
        while True:
            try:
                with waiting():
                    send()
                return
            except OutletUnavailable as error:
                end = refused if isinstance(error, ReplyRefused) else deadline
                if end.passed(self._clock.monotonic()):
                    raise
                self._recorder.count(measures.PUBLISH_RETRIES)
                log.warning("publish_failed", error=str(error), next_in=round(wait, 2))
            with waiting():
                self._waiter.wait(wait * (0.5 + random.random() / 2))  # noqa: S311  # jitter, not a secret
            wait = min(wait * 2, _LONGEST_WAIT)


class Send(Protocol):
    """One try."""

    def __call__(self) -> None:
        """Raises OutletUnavailable."""
        ...
