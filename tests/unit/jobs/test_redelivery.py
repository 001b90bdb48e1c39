"""Deliveries that break: they are counted, put back as copies, and given up in the end."""

from dataclasses import dataclass, field

import pytest

from tests.unit.examples import body
from tests.unit.jobs.world import World
from worker.broker.topology import DELIVERY_LIMIT
from worker.concurrency.interrupt import InterruptReason
from worker.contract.errors import Reason
from worker.contract.events import COMPLETED, FAILED, STARTED, Failed
from worker.contract.message import InvalidJob
from worker.jobs import redelivery
from worker.jobs.claims import Claim
from worker.jobs.ingress_headers import DeliveryOutcome, IngressHeaders
from worker.jobs.ports import BrokerUnavailable
from worker.jobs.redelivery import MANY_DELIVERIES, MOST_BROKEN, Redelivery

JOB = "visit-17"


@dataclass
class Work:
    """Celery's queue in memory; can be away."""

    away: bool = False
    copies: list[tuple[bytes, IngressHeaders]] = field(default_factory=list)

    def put(self, body: bytes, headers: IngressHeaders) -> None:
        if self.away:
            raise BrokerUnavailable("away")
        self.copies.append((body, headers))


class Bug(Exception):
    """An unexpected error."""


class Deliverer:
    """A worker whose deliveries can be made to break."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World()
        self.work = Work()
        self._monkeypatch = monkeypatch
        self.redelivery = Redelivery(
            self.world.deliveries, self.work, self.world.publisher, self.world.clock, "corti.work"
        )

    def breaks(self, method: str) -> None:
        """Let a method of the deliveries raise an unexpected error."""

        def broken(*_: object) -> None:
            raise Bug("Ada Example")

        self._monkeypatch.setattr(type(self.world.deliveries), method, broken)

    def take(self, headers: IngressHeaders | None = None) -> DeliveryOutcome:
        return self.redelivery.take(body(), self.world.interrupt, headers or IngressHeaders())


@pytest.fixture
def deliverer(monkeypatch: pytest.MonkeyPatch) -> Deliverer:
    return Deliverer(monkeypatch)


def test_a_delivery_that_goes_well_leaves_no_copy(deliverer: Deliverer) -> None:
    assert deliverer.take() is DeliveryOutcome.DONE
    assert deliverer.world.publisher.types == [STARTED, COMPLETED]
    assert deliverer.work.copies == []


def test_a_delivery_that_breaks_is_copied_with_a_count_and_its_claim_is_released(
    deliverer: Deliverer,
) -> None:
    deliverer.breaks("_claimed")
    known = IngressHeaders(deliverer.world.clock.wall(), "00-trace", broken=3, deliveries=7)
    assert deliverer.take(known) is DeliveryOutcome.DONE
    ((copied, headers),) = deliverer.work.copies
    assert copied == body()
    assert headers == IngressHeaders(known.accepted_at, "00-trace", broken=4, deliveries=7)
    assert deliverer.world.waits == [8.0], "the pause must grow with the count"
    record = deliverer.world.ledger.records[JOB]
    assert (record.owner, record.attempts) == ("", 0)


def test_a_delivery_that_breaks_while_the_queue_is_out_of_reach_is_handed_back(deliverer: Deliverer) -> None:
    deliverer.breaks("_claimed")
    deliverer.work.away = True
    assert deliverer.take() is DeliveryOutcome.HAND_BACK


def test_a_delivery_that_breaks_waits_for_its_turn_no_longer_than_a_drain_allows(
    deliverer: Deliverer,
) -> None:
    deliverer.breaks("_claimed")
    deliverer.world.interrupt.after(2.0, lambda: deliverer.world.interrupt.trigger(InterruptReason.DRAIN))
    assert deliverer.take(IngressHeaders(broken=6)) is DeliveryOutcome.HAND_BACK
    assert deliverer.work.copies == []


def test_the_pauses_leave_a_quarter_of_an_hour_for_a_rollback(deliverer: Deliverer) -> None:
    deliverer.breaks("_claimed")
    for broken in range(MOST_BROKEN - 1):
        assert deliverer.take(IngressHeaders(broken=broken)) is DeliveryOutcome.DONE
    assert 700 < sum(deliverer.world.waits) < 1200


def test_a_job_whose_every_delivery_breaks_fails_in_the_end_and_once(deliverer: Deliverer) -> None:
    deliverer.breaks("_claimed")
    for _ in range(2):
        assert deliverer.take(IngressHeaders(broken=MOST_BROKEN - 1)) is DeliveryOutcome.DONE
    assert deliverer.world.publisher.types == [FAILED]
    failed = deliverer.world.publisher.last
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.INTERNAL_ERROR
    assert [letter.reason for letter in deliverer.world.publisher.letters] == [Reason.INTERNAL_ERROR]
    assert deliverer.work.copies == []


def test_a_job_that_has_ended_is_not_failed_by_a_broken_repetition(deliverer: Deliverer) -> None:
    deliverer.take()
    deliverer.breaks("_repeated")
    assert deliverer.take(IngressHeaders(broken=MOST_BROKEN - 1)) is DeliveryOutcome.DONE
    assert deliverer.world.publisher.types == [STARTED, COMPLETED]


def test_a_broken_job_that_somebody_else_runs_is_not_failed(deliverer: Deliverer) -> None:
    claim = deliverer.world.ledger.claim(JOB)
    assert isinstance(claim, Claim)
    deliverer.world.ledger.kept.add(claim.owner)
    deliverer.breaks("_is_full")
    assert deliverer.take(IngressHeaders(broken=MOST_BROKEN - 1)) is DeliveryOutcome.DONE
    assert deliverer.world.publisher.types == []
    assert deliverer.world.publisher.set_aside_bodies == [body()]


def test_a_job_that_cannot_even_be_failed_is_a_dead_letter(deliverer: Deliverer) -> None:
    deliverer.breaks("_claim")
    assert deliverer.take(IngressHeaders(broken=MOST_BROKEN - 1)) is DeliveryOutcome.DONE
    (letter,) = deliverer.world.publisher.letters
    assert (letter.reason, letter.payload) == (Reason.INTERNAL_ERROR, body().decode())
    assert "Ada" not in letter.detail
    deliverer.world.publisher.away = {"letters"}
    assert deliverer.take(IngressHeaders(broken=MOST_BROKEN - 1)) is DeliveryOutcome.HAND_BACK


def test_a_message_that_rabbitmq_has_delivered_often_goes_back_as_a_copy(deliverer: Deliverer) -> None:
    deliverer.world.publisher.away = {COMPLETED}
    headers = IngressHeaders(deliverer.world.clock.wall(), deliveries=MANY_DELIVERIES)
    assert deliverer.take(IngressHeaders(deliveries=MANY_DELIVERIES - 1)) is DeliveryOutcome.HAND_BACK
    assert deliverer.work.copies == []
    deliverer.world.publisher.away |= {"aside"}
    deliverer.world.interrupt.after(3.0, lambda: deliverer.world.interrupt.trigger(InterruptReason.DRAIN))
    assert deliverer.take(headers) is DeliveryOutcome.DONE
    assert deliverer.work.copies == [(body(), headers)]
    assert MANY_DELIVERIES < DELIVERY_LIMIT


def test_the_refusal_of_an_invalid_job_is_raised_unchanged(deliverer: Deliverer) -> None:
    with pytest.raises(InvalidJob):
        deliverer.redelivery.take(b"{}", deliverer.world.interrupt, IngressHeaders())


def test_the_last_pause_is_bounded() -> None:
    assert redelivery._LONGEST_PAUSE <= 60
