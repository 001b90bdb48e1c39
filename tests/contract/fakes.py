"""Small real implementations of what stands on the other side of a port.

Nothing here follows a script: each one works, can be broken and mended, and passes the suite of what
it stands for wherever there is one.
"""

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from worker.broker.topology import DEAD, MAIN_LANE, RESULTS
from worker.contract.errors import JobError
from worker.jobs.arrival import UNKNOWN, Arrival
from worker.jobs.ports import BrokerUnavailable, ReplyRefused
from worker.telemetry import measure_kinds

_EPOCH = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_PATIENCE = 20.0


class FakeClock:
    """Time that passes when somebody waits for it, or says so. A clock and a waiter."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        with self._lock:
            return self._now

    def wall(self) -> datetime:
        return _EPOCH + timedelta(seconds=self.monotonic())

    def wait(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds


class FakeRecorder:
    """Keeps what it is told, and is as strict about labels as Prometheus."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        self._values: defaultdict[str, list[float]] = defaultdict(list)

    def count(self, counter: measure_kinds.Counter, by: float = 1.0, **labels: str) -> None:
        self._check(counter.labels, labels)
        with self._lock:
            self._sums[counter.name, tuple(sorted(labels.items()))] += by  # type: ignore[assignment]

    def observe(self, histogram: measure_kinds.Histogram, value: float, **labels: str) -> None:
        self._check(histogram.labels, labels)
        with self._lock:
            self._values[histogram.name].append(value)

    def total(self, counter: measure_kinds.Counter, **labels: str) -> float:
        """The sum of a counter over all series that have these labels."""
        with self._lock:
            series = list(self._sums.items())
        wanted = set(labels.items())
        return sum(by for (name, given), by in series if name == counter.name and wanted <= set(given))

    def values(self, histogram: measure_kinds.Histogram) -> list[float]:
        """Everything observed."""
        with self._lock:
            return list(self._values[histogram.name])

    @staticmethod
    def _check(known: tuple[str, ...], given: dict[str, str]) -> None:
        if sorted(known) != sorted(given):
            raise ValueError(f"the labels are {known}, not {tuple(given)}")


@dataclass(frozen=True)
class FakeGrant:
    """A token and its life."""

    value: str
    expires_in: float


class FakeEndpoint:
    """Issues tokens; can be slow (`gate`) and out of order (`failure`)."""

    def __init__(self) -> None:
        self.expires_in = 300.0
        self.failure: JobError | None = None
        self.requests = 0
        self.asked = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()

    def fetch(self) -> FakeGrant:
        with self._lock:
            self.requests += 1
        self.asked.set()
        assert self.gate.wait(_PATIENCE), "nobody opened the gate again"
        if self.failure is not None:
            raise self.failure
        return FakeGrant(f"token-{uuid4().hex}", self.expires_in)


class FakeSender:
    """Queues in memory; can be away, lose the confirmation of what it took, or refuse for a reply queue."""

    def __init__(self) -> None:
        self.up = True
        self.confirms = True
        self.refusing: set[str] = set()
        self.tries = 0
        self.queues: defaultdict[str, list[bytes]] = defaultdict(list)
        self.arrivals: list[Arrival] = []

    def send_event(self, body: bytes, event_type: str, reply_to: str | None) -> None:
        assert event_type
        if reply_to in self.refusing:
            raise ReplyRefused("full")
        self._put(reply_to or RESULTS, body)

    def send_dead_letter(self, body: bytes, letter_id: str) -> None:
        assert letter_id
        self._put(DEAD, body)

    def send_aside(self, body: bytes, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self._put(MAIN_LANE.aside, body)

    def _put(self, queue: str, body: bytes) -> None:
        self.tries += 1
        if not self.up:
            raise BrokerUnavailable("Away")
        self.queues[queue].append(body)
        if not self.confirms:
            raise BrokerUnavailable("NoConfirm")


class FakeIngress:
    """Takes messages; can be unable to pass them on (`up`), can fail otherwise, can dawdle."""

    def __init__(self) -> None:
        self.up = True
        self.failure: Exception | None = None
        self.seconds = 0.0
        self.taken: list[bytes] = []
        self.known: list[Arrival] = []
        self.refused = 0
        self.most_at_once = 0
        self._inside = 0
        self._changed = threading.Condition()

    def take(self, body: bytes, known: Arrival = UNKNOWN) -> None:
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
        """Return once so many messages were taken or refused."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: len(self.taken) >= taken and self.refused >= refused, _PATIENCE
            )
        assert came, f"taken {len(self.taken)} of {taken}, refused {self.refused} of {refused}"
