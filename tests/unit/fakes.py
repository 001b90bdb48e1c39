"""Small real implementations of what the code under test asks for: time, measurements, brokers."""

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from worker.concurrency.interrupt import Interrupt
from worker.contract.dead_letter import DeadLetter
from worker.contract.events import Data, Event
from worker.jobs.arrival import Arrival
from worker.jobs.claims import OutboxEntry
from worker.jobs.ports import BrokerUnavailable, ReplyRefused
from worker.telemetry.audit import Entry
from worker.telemetry.measure_kinds import Counter, Histogram

EPOCH = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class FakeClock:
    """Time that passes when told to. Both clocks move together."""

    def __init__(self, monotonic: float = 5000.0) -> None:
        self._started = self._now = monotonic

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> datetime:
        return EPOCH + timedelta(seconds=self._now - self._started)

    def advance(self, seconds: float) -> None:
        self._now += seconds


class FakeWaiter:
    """Waits by moving the clock; remembers how long."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._clock.advance(seconds)


class FakeInterrupt(Interrupt):
    """An interrupt whose waits move the clock; what is planned happens on the way."""

    def __init__(self, clock: FakeClock, waits: list[float] | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._waits = [] if waits is None else waits
        self._plans: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan something for later; it happens when somebody waits past that time."""
        self._plans.append((self._clock.monotonic() + seconds, action))

    def wait(self, seconds: float) -> None:
        self._waits.append(seconds)
        until = self._clock.monotonic() + seconds
        for plan in sorted(self._plans, key=lambda plan: plan[0]):
            at, action = plan
            if at <= until and self.why is None:
                self._plans.remove(plan)
                self._clock.advance(max(0.0, at - self._clock.monotonic()))
                action()
        self.check()
        self._clock.advance(until - self._clock.monotonic())


class FakeRecorder:
    """Adds up measurements in memory, and is as strict about labels as Prometheus is."""

    def __init__(self) -> None:
        self.counts: Tally[tuple[str, ...]] = Tally()
        self.values: dict[str, list[float]] = {}

    def count(self, counter: Counter, by: float = 1.0, **labels: str) -> None:
        if by < 0:
            raise ValueError(f"{counter.name} cannot shrink")
        self.counts[self._key(counter, labels)] += by  # type: ignore[assignment]

    def observe(self, histogram: Histogram, value: float, **labels: str) -> None:
        self.values.setdefault(" ".join(self._key(histogram, labels)), []).append(value)

    @staticmethod
    def _key(measure: Counter | Histogram, labels: dict[str, str]) -> tuple[str, ...]:
        if set(labels) != set(measure.labels):
            raise ValueError(f"{measure.name} has the labels {measure.labels}")
        return (measure.name, *(labels[name] for name in measure.labels))


@dataclass
class FakePublisher:
    """Keeps what was published; confirms nothing of the types in `away`, nor "letters", nor "aside".

    Reply queues in `refusing` take nothing.
    """

    events: list[tuple[Event, str | None]] = field(default_factory=list)
    set_aside_bodies: list[bytes] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)

    def publish(self, event: Event, reply_to: str | None) -> None:
        if event.type in self.away:
            raise BrokerUnavailable("away")
        if reply_to in self.refusing:
            raise ReplyRefused("full")
        self.events.append((event, reply_to))

    def deliver(self, outbox_entry: OutboxEntry) -> None:
        event = Event.model_validate_json(outbox_entry.event)
        assert (event.type, event.subject) == (outbox_entry.event_type, outbox_entry.job_id)
        if outbox_entry.letter is not None:
            self.publish_dead_letter(DeadLetter.model_validate_json(outbox_entry.letter))
        self.publish(event, outbox_entry.reply_to)

    def set_aside(self, body: bytes, arrival: Arrival) -> None:
        if "aside" in self.away:
            raise BrokerUnavailable("away")
        self.set_aside_bodies.append(body)
        self.arrivals.append(arrival)

    def publish_dead_letter(self, letter: DeadLetter) -> None:
        if "letters" in self.away:
            raise BrokerUnavailable("away")
        self.letters.append(letter)

    @property
    def types(self) -> list[str]:
        return [event.type for event, _ in self.events]

    @property
    def last(self) -> Data:
        return self.events[-1][0].data


@dataclass
class FakeAudit:
    """Keeps the records."""

    entries: list[Entry] = field(default_factory=list)

    def record(self, entry: Entry) -> None:
        self.entries.append(entry)


class FakeWorkQueue:
    """A queue in memory that may be out of reach."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.accepted: list[datetime | None] = []
        self.traceparents: list[str | None] = []
        self.away = False

    def put(self, body: bytes, arrival: Arrival) -> None:
        if self.away:
            raise BrokerUnavailable("away")
        self.bodies.append(body)
        self.accepted.append(arrival.accepted_at)
        self.traceparents.append(arrival.traceparent)
