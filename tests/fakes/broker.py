"""Queues in memory: fakes of the sender, the publisher, the work queue and the ingress."""

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from tests.fakes.time import FakeClock
from worker.broker.publisher import LIVE_PAUSE
from worker.broker.topology import DEAD, MAIN_LANE, RESULTS
from worker.contract.dead_letter import DeadLetter
from worker.contract.events import Data, Event
from worker.jobs.claims import OutboxEntry
from worker.jobs.ingress_headers import NO_HEADERS, IngressHeaders
from worker.jobs.ports import BrokerUnavailable, ReplyRefused

_PATIENCE = 20.0


class FakeSender:
    """A sender with queues in memory; can be away, give no confirmations, or refuse for a reply queue."""

    def __init__(self) -> None:
        self.up = True
        self.confirms = True
        self.refusing: set[str] = set()
        self.tries = 0
        self.queues: defaultdict[str, list[bytes]] = defaultdict(list)
        self.headers: list[IngressHeaders] = []

    def send_event(self, body: bytes, event_type: str, reply_to: str | None) -> None:
        assert event_type
        if reply_to in self.refusing:
            raise ReplyRefused("full")
        self._put(reply_to or RESULTS, body)

    def send_dead_letter(self, body: bytes, letter_id: str) -> None:
        assert letter_id
        self._put(DEAD, body)

    def send_aside(self, body: bytes, headers: IngressHeaders) -> None:
        self.headers.append(headers)
        self._put(MAIN_LANE.aside, body)

    def _put(self, queue: str, body: bytes) -> None:
        self.tries += 1
        if not self.up:
            raise BrokerUnavailable("Away")
        self.queues[queue].append(body)
        if not self.confirms:
            raise BrokerUnavailable("NoConfirm")


@dataclass
class FakePublisher:
    """Keeps what was published. Implements `Publisher`, `LiveEvents` and `Aside`, with one try for each.

    Attributes:
        away: Kinds of messages that are not confirmed: types of events, "letters", "aside".
        refusing: Reply queues that refuse every event.
        clock: Times the pause after an unconfirmed live event; None for no pause.
    """

    events: list[tuple[Event, str | None]] = field(default_factory=list)
    set_aside_bodies: list[bytes] = field(default_factory=list)
    headers: list[IngressHeaders] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    clock: FakeClock | None = None
    _live_again: float = 0.0
    _letters_published: set[str] = field(default_factory=set)

    def publish(self, event: Event, reply_to: str | None) -> None:
        if self.clock is not None and self.clock.monotonic() < self._live_again:
            raise BrokerUnavailable("away a moment ago")
        try:
            self._confirm(event, reply_to)
        except ReplyRefused:
            raise
        except BrokerUnavailable:
            if self.clock is not None:
                self._live_again = self.clock.monotonic() + LIVE_PAUSE
            raise

    def deliver(self, outbox_entry: OutboxEntry) -> None:
        event = Event.model_validate_json(outbox_entry.event)
        assert (event.type, event.subject) == (outbox_entry.event_type, outbox_entry.job_id)
        if outbox_entry.letter is not None and outbox_entry.job_id not in self._letters_published:
            self.publish_dead_letter(DeadLetter.model_validate_json(outbox_entry.letter))
            self._letters_published.add(outbox_entry.job_id)
        self._confirm(event, outbox_entry.reply_to)
        self._letters_published.discard(outbox_entry.job_id)

    def set_aside(self, body: bytes, headers: IngressHeaders) -> None:
        if "aside" in self.away:
            raise BrokerUnavailable("away")
        self.set_aside_bodies.append(body)
        self.headers.append(headers)

    def publish_dead_letter(self, letter: DeadLetter) -> None:
        if "letters" in self.away:
            raise BrokerUnavailable("away")
        self.letters.append(letter)

    def _confirm(self, event: Event, reply_to: str | None) -> None:
        if event.type in self.away:
            raise BrokerUnavailable("away")
        if reply_to in self.refusing:
            raise ReplyRefused("full")
        self.events.append((event, reply_to))

    @property
    def types(self) -> list[str]:
        return [event.type for event, _ in self.events]

    @property
    def last(self) -> Data:
        return self.events[-1][0].data


class FakeWorkQueue:
    """A work queue in memory; can be away."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.accepted: list[datetime | None] = []
        self.traceparents: list[str | None] = []
        self.away = False

    def put(self, body: bytes, headers: IngressHeaders) -> None:
        if self.away:
            raise BrokerUnavailable("away")
        self.bodies.append(body)
        self.accepted.append(headers.accepted_at)
        self.traceparents.append(headers.traceparent)


class FakeIngress:
    """Takes messages; can be unable to pass them on (`up`), fail in another way, or be slow."""

    def __init__(self) -> None:
        self.up = True
        self.failure: Exception | None = None
        self.seconds = 0.0
        self.taken: list[bytes] = []
        self.known: list[IngressHeaders] = []
        self.refused = 0
        self.most_at_once = 0
        self._inside = 0
        self._changed = threading.Condition()

    def take(self, body: bytes, known: IngressHeaders = NO_HEADERS) -> None:
        with self._changed:
            self._inside += 1
            self.most_at_once = max(self.most_at_once, self._inside)
        threading.Event().wait(self.seconds)
        failure = self.failure or (None if self.up else BrokerUnavailable("Away"))
        with self._changed:
            self._inside -= 1
            if failure is None:
                self.taken.append(body)
                self.known.append(known)
            else:
                self.refused += 1
            self._changed.notify_all()
        if failure is not None:
            raise failure

    def wait_for(self, taken: int = 0, *, refused: int = 0) -> None:
        """Wait until so many messages were taken or refused."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: len(self.taken) >= taken and self.refused >= refused, _PATIENCE
            )
        assert came, f"taken {len(self.taken)} of {taken}, refused {self.refused} of {refused}"
