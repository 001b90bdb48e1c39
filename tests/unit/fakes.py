"""Small real implementations of what the code under test asks for: time, measurements, brokers."""

from collections import Counter as Tally
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from worker.dead_letter import DeadLetter
from worker.events import Data, Event
from worker.measures import Counter, Histogram
from worker.ports import OutletUnavailable

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
class FakeOutlet:
    """Keeps what was published, and confirms nothing of the types in `away`."""

    events: list[tuple[Event, str | None]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    away: set[str] = field(default_factory=set)

    def publish(self, event: Event, reply_to: str | None) -> None:
        if event.type in self.away:
            raise OutletUnavailable("away")
        self.events.append((event, reply_to))

    def bury(self, letter: DeadLetter) -> None:
        if "letters" in self.away:
            raise OutletUnavailable("away")
        self.letters.append(letter)

    @property
    def types(self) -> list[str]:
        return [event.type for event, _ in self.events]

    @property
    def last(self) -> Data:
        return self.events[-1][0].data


class FakeWorkQueue:
    """A queue in memory that may be out of reach."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.away = False

    def put(self, body: bytes) -> None:
        if self.away:
            raise OutletUnavailable("away")
        self.bodies.append(body)
