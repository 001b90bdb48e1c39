"""Publishes results and dead letters, on either broker. Implements `LiveEvents`, `Publisher` and `Aside`.

Final events and dead letters are offered again and again, until the broker has them or the publisher's
patience ends; live events are offered once.
"""

import random
from collections.abc import Callable
from contextlib import suppress

import structlog

from worker.broker.senders import Sender
from worker.clock import Clock, Deadline
from worker.concurrency.heartbeat import waiting
from worker.contract.dead_letter import DeadLetter, letter_id
from worker.contract.events import Event
from worker.jobs.claims import OutboxEntry
from worker.jobs.ingress_headers import IngressHeaders
from worker.jobs.ports import BrokerUnavailable, ReplyRefused, Waiter
from worker.telemetry import catalogue
from worker.telemetry.recorder import Recorder

log = structlog.get_logger(__name__)

#: Seconds in which no live event is sent, after one that the broker did not confirm.
LIVE_PAUSE = 15.0
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
#: Seconds for which an event is offered to a reply queue that refuses it. A quorum queue refuses for a moment
#: while it is being made. Other queues refuse for longer, and the thread that waits here may have other jobs'
#: results to deliver.
_REFUSED_PATIENCE = 3.0
#: How many jobs are remembered whose dead letter is confirmed and whose event is not.
_MOST_BURIED = 10_000


class PatientPublisher:
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
        self._letters_published: dict[str, None] = {}

    def publish(self, event: Event, reply_to: str | None) -> None:
        """See `worker.jobs.ports.LiveEvents`."""
        # Each try on a broker that does not answer costs seconds of a thread that has audio to feed.
        if not self._live_again.passed(self._clock.monotonic()):
            raise BrokerUnavailable("the broker was away a moment ago")
        try:
            with waiting():
                self._sender.send_event(event.to_json(), event.type, reply_to)
        except ReplyRefused:
            raise  # the broker answered, and takes other jobs' events
        except BrokerUnavailable:
            self._live_again = Deadline.after(LIVE_PAUSE, self._clock.monotonic())
            raise
        self._recorder.count(catalogue.EVENTS_PUBLISHED, type=event.type)

    def deliver(self, entry: OutboxEntry) -> None:
        """See `worker.jobs.ports.Publisher`."""
        letter = entry.letter
        if letter is not None and entry.job_id not in self._letters_published:
            self._until_confirmed(lambda: self._sender.send_dead_letter(letter, letter_id(entry.job_id)))
            self._note_published(entry.job_id)
        self._until_confirmed(lambda: self._sender.send_event(entry.event, entry.event_type, entry.reply_to))
        self._letters_published.pop(entry.job_id, None)
        self._recorder.count(catalogue.EVENTS_PUBLISHED, type=entry.event_type)

    def set_aside(self, body: bytes, headers: IngressHeaders) -> None:
        """See `worker.jobs.ports.Aside`."""
        with waiting():
            self._sender.send_aside(body, headers)

    def publish_dead_letter(self, letter: DeadLetter) -> None:
        """See `worker.jobs.ports.Publisher`."""
        body = letter.to_json()
        self._until_confirmed(lambda: self._sender.send_dead_letter(body, letter.id or letter.sha256))

    def _note_published(self, job_id: str) -> None:
        """The dead letter of a job is confirmed: further tries of the job's event do not send it again."""
        self._letters_published[job_id] = None
        if len(self._letters_published) > _MOST_BURIED:
            with suppress(KeyError, StopIteration):  # another thread was quicker
                del self._letters_published[next(iter(self._letters_published))]

    def _until_confirmed(self, send: Callable[[], None]) -> None:
        began = self._clock.monotonic()
        deadline = Deadline.after(self._patience, began)
        refused = Deadline.after(min(self._patience, _REFUSED_PATIENCE), began)
        wait = _FIRST_WAIT
        while True:
            try:
                with waiting():
                    send()
                return
            except BrokerUnavailable as error:
                end = refused if isinstance(error, ReplyRefused) else deadline
                if end.passed(self._clock.monotonic()):
                    raise
                self._recorder.count(catalogue.PUBLISH_RETRIES)
                log.warning("publish_failed", error=str(error), next_in=round(wait, 2))
            with waiting():
                self._waiter.wait(wait * (0.5 + random.random() / 2))  # noqa: S311  # jitter, not a secret
            wait = min(wait * 2, _LONGEST_WAIT)
