"""The handler of a delivery: how long the delivery is kept, and what becomes of its message."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.fakes import FakePublisher
from worker.concurrency.interrupt import Interrupt
from worker.contract.message import InvalidJob, Problem
from worker.jobs.ingress_headers import NO_HEADERS, DeliveryOutcome, IngressHeaders
from worker.jobs.ports import BrokerUnavailable
from worker.process.delivery_handler import DeliveryHandler
from worker.process.drain import RunningJobs

BODY = b'{"job_id": "visit-17"}'
HEADERS = IngressHeaders(broken=2)
REFUSAL = InvalidJob((Problem("$", "expected a job"),))


@dataclass
class Visibility:
    """A fake of the renewer of deliveries: records which are kept and which were forfeited."""

    kept_now: set[str] = field(default_factory=set)
    forfeited: list[str] = field(default_factory=list)

    @contextmanager
    def kept(self, tag: str) -> Iterator[None]:
        self.kept_now.add(tag)
        yield
        self.kept_now.discard(tag)

    def forfeit(self, tag: str) -> None:
        self.forfeited.append(tag)


class Bench:
    """A handler whose deliveries end as a test says."""

    def __init__(self, take: Callable[[], DeliveryOutcome], *, on_redis: bool = True) -> None:
        self.publisher = FakePublisher()
        self.running = RunningJobs()
        self.visibility = Visibility() if on_redis else None
        self.discarded: list[bytes] = []
        self.discard_fails = False
        self.seen: list[tuple[bytes, IngressHeaders, int, set[str]]] = []
        self._take = take
        self.handler = DeliveryHandler(
            self,  # type: ignore[arg-type]
            self.running,
            self.visibility,  # type: ignore[arg-type]
            self.publisher,
            self._discard,
        )

    def take(self, body: bytes, interrupt: Interrupt, headers: IngressHeaders) -> DeliveryOutcome:
        assert interrupt in self.running.all()
        kept = set(self.visibility.kept_now) if self.visibility else set()
        self.seen.append((body, headers, len(self.running), kept))
        return self._take()

    def _discard(self, body: bytes, refusal: InvalidJob) -> None:
        assert refusal is REFUSAL
        if self.discard_fails:
            raise BrokerUnavailable("away")
        self.discarded.append(body)

    def run(self) -> DeliveryOutcome:
        outcome = self.handler.run("tag-1", BODY, HEADERS)
        assert len(self.running) == 0
        assert self.visibility is None or not self.visibility.kept_now
        return outcome


def refused() -> DeliveryOutcome:
    raise REFUSAL


@pytest.mark.parametrize("outcome", [DeliveryOutcome.DONE, DeliveryOutcome.HAND_BACK])
def test_a_delivery_runs_is_counted_and_stays_ours_meanwhile(outcome: DeliveryOutcome) -> None:
    bench = Bench(lambda: outcome)
    assert bench.run() is outcome
    assert bench.seen == [(BODY, HEADERS, 1, {"tag-1"})]


def test_a_body_that_is_no_job_is_kept_as_a_dead_letter() -> None:
    bench = Bench(refused)
    assert bench.run() is DeliveryOutcome.DONE
    assert bench.discarded == [BODY]


def test_a_body_that_is_no_job_stays_with_the_broker_until_its_dead_letter_is_confirmed() -> None:
    bench = Bench(refused)
    bench.discard_fails = True
    assert bench.run() is DeliveryOutcome.HAND_BACK


def test_a_lost_delivery_is_left_alone_on_redis() -> None:
    bench = Bench(lambda: DeliveryOutcome.FORFEIT)
    assert bench.run() is DeliveryOutcome.DONE
    assert bench.visibility is not None
    assert bench.visibility.forfeited == ["tag-1"]
    assert bench.publisher.set_aside_bodies == []


def test_a_copy_of_a_lost_delivery_waits_aside_on_rabbitmq() -> None:
    bench = Bench(lambda: DeliveryOutcome.FORFEIT, on_redis=False)
    assert bench.run() is DeliveryOutcome.DONE
    assert (bench.publisher.set_aside_bodies, bench.publisher.headers) == ([BODY], [HEADERS])


def test_a_lost_delivery_whose_copy_is_not_confirmed_goes_back() -> None:
    bench = Bench(lambda: DeliveryOutcome.FORFEIT, on_redis=False)
    bench.publisher.away = {"aside"}
    assert bench.run() is DeliveryOutcome.HAND_BACK


def test_a_fault_of_ours_ends_the_hold_on_the_delivery() -> None:
    def broken() -> DeliveryOutcome:
        raise ZeroDivisionError

    bench = Bench(broken, on_redis=False)
    with pytest.raises(ZeroDivisionError):
        bench.handler.run("tag-1", BODY, NO_HEADERS)
    assert len(bench.running) == 0
