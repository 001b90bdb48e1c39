"""Deliveries that wait for a place among the tenant's streams, and jobs that kill their workers."""

import pytest

from tests.fakes import EPOCH
from tests.unit.examples import body
from tests.unit.jobs.world import World
from worker.concurrency.interrupt import InterruptReason
from worker.contract.errors import Reason
from worker.contract.events import COMPLETED, FAILED, STARTED, Failed
from worker.contract.message import InvalidJob
from worker.jobs.claims import Claim
from worker.jobs.ingress_headers import DeliveryOutcome, IngressHeaders
from worker.telemetry import catalogue


def die(world: World, times: int) -> None:
    """Let so many workers claim the job and die."""
    for _ in range(times):
        assert isinstance(world.ledger.claim("visit-17"), Claim)
        world.clock.advance(world.ledger.lease + 1)


@pytest.mark.parametrize(("deaths", "last"), [(2, COMPLETED), (3, FAILED)])
def test_a_job_that_kills_its_workers_is_ended_before_it_kills_another(deaths: int, last: str) -> None:
    world = World(attempts=3)
    die(world, deaths)
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.publisher.types == [last]
    assert len(world.service.streamed) == (last == COMPLETED)


def test_the_dead_letter_of_such_a_job_says_where_to_look() -> None:
    world = World(attempts=3)
    die(world, 3)
    world.run(body())
    (letter,) = world.publisher.letters
    assert isinstance(world.publisher.last, Failed)
    assert letter.reason == world.publisher.last.reason == Reason.ATTEMPTS_EXHAUSTED
    assert "workers" in letter.detail


def test_a_job_waits_for_its_place_under_a_claim_that_is_kept() -> None:
    world = World()
    world.full_for = 100.0
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.publisher.types == [STARTED, COMPLETED]
    assert world.waits == [100.0]


def test_a_job_that_waits_for_its_place_is_handed_back_by_a_drain() -> None:
    world = World()
    world.full_for = 100.0
    world.interrupt.after(5, lambda: world.interrupt.trigger(InterruptReason.DRAIN))
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    assert world.publisher.events == []
    assert world.ledger.records["visit-17"].attempts == 0
    assert world.nothing_is_left_open()


def test_a_job_whose_time_runs_out_while_it_waits_for_its_place_is_expired() -> None:
    world = World(job_seconds=50.0)
    world.full_for = 100.0
    assert world.run(body()) is DeliveryOutcome.DONE
    assert isinstance(world.publisher.last, Failed)
    assert world.publisher.last.reason is Reason.EXPIRED
    assert [letter.reason for letter in world.publisher.letters] == [Reason.EXPIRED]
    assert world.waits == [100.0]
    assert world.nothing_is_left_open()


def test_a_job_that_only_a_later_versions_door_can_read_goes_through_a_door_again() -> None:
    world = World()
    message = body(a_key_of_next_year=1)
    headers = IngressHeaders(accepted_at=EPOCH)
    assert world.deliveries.take(message, world.interrupt, headers) is DeliveryOutcome.DONE
    assert world.publisher.set_aside_bodies == [message]
    assert world.publisher.headers == [headers], "the headers must go along"
    world.publisher.away.add("aside")
    world.interrupt.after(9.0, lambda: world.interrupt.trigger(InterruptReason.DRAIN))
    assert world.deliveries.take(message, world.interrupt, headers) is DeliveryOutcome.HAND_BACK
    assert world.ledger.records == {}


def test_for_an_invalid_job_no_claim_is_made() -> None:
    world = World()
    with pytest.raises(InvalidJob):
        world.run(b"{}")
    assert world.ledger.records == {}


def test_a_job_asks_for_a_place_of_its_own_tenant_or_of_the_default_one() -> None:
    world = World()
    world.run(body())
    world.run(body(job_id="visit-18", tenant="base"))
    assert world.placed == ["base", "base"]


def test_a_job_that_finds_neither_place_nor_room_to_wait_steps_aside_without_an_attempt() -> None:
    world = World()
    world.cap_reached = True
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.publisher.set_aside_bodies == [body()]
    assert world.publisher.events == []
    assert world.ledger.records["visit-17"].attempts == 0
    assert world.nothing_is_left_open()
    world.cap_reached = False
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.publisher.types == [STARTED, COMPLETED]


def test_where_a_tenant_is_full_its_jobs_are_not_even_claimed() -> None:
    world = World()
    world.full_now = True
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.publisher.set_aside_bodies == [body()]
    assert world.ledger.records == {}


def test_a_job_whose_time_is_over_is_ended_without_a_place() -> None:
    world = World()
    world.full_now = world.cap_reached = True
    assert world.run(body(not_after="2020-01-01T00:00:00Z")) is DeliveryOutcome.DONE
    assert isinstance(world.publisher.last, Failed)
    assert world.publisher.last.reason is Reason.EXPIRED
    assert world.placed == []


def test_the_wait_for_a_place_is_part_of_the_wait_and_a_job_without_one_has_not_started() -> None:
    world = World()
    world.cap_reached = True
    headers = IngressHeaders(accepted_at=EPOCH)
    assert world.deliveries.take(body(), world.interrupt, headers) is DeliveryOutcome.DONE
    assert catalogue.JOB_WAIT_SECONDS.name not in world.recorder.values
    world.cap_reached, world.full_for = False, 40.0
    assert world.deliveries.take(body(), world.interrupt, headers) is DeliveryOutcome.DONE
    assert world.recorder.values[catalogue.JOB_WAIT_SECONDS.name] == [pytest.approx(40.0)]
