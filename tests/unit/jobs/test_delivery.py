"""What becomes of a delivery (run, set aside, handed back, left alone), and of the claim on its job."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.fakes import EPOCH
from tests.unit.examples import body
from tests.unit.jobs.world import World
from worker.concurrency.interrupt import InterruptReason
from worker.contract.errors import PermanentError, Reason, TransientError
from worker.contract.events import COMPLETED, FAILED, STARTED, Completed, Failed
from worker.jobs.claims import Claim
from worker.jobs.ingress_headers import DeliveryOutcome
from worker.telemetry import catalogue

JOB = "visit-17"
CUT = TransientError(Reason.STREAM_INTERRUPTED, "the connection was lost")


def claimed(world: World) -> Claim:
    """Let another worker claim the job."""
    claim = world.ledger.claim(JOB)
    assert isinstance(claim, Claim)
    return claim


def handed_back(world: World, reason: str) -> float:
    """How many deliveries ended without a result for this reason."""
    return world.recorder.counts[catalogue.JOBS_HANDED_BACK.name, reason]


def claims(world: World) -> dict[str, float]:
    """The number of claims by their outcome."""
    return {
        outcome[0]: number
        for (name, *outcome), number in world.recorder.counts.items()
        if name == catalogue.CLAIMS.name
    }


def test_a_delivery_whose_job_is_run_elsewhere_waits_once_and_goes_aside() -> None:
    world = World()
    world.ledger.kept.add(claimed(world).owner)
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.waits == [pytest.approx(30.2)], "wait until just after the claim's end"
    assert world.publisher.set_aside_bodies == [body()]
    assert world.publisher.events == []
    assert (claims(world), handed_back(world, "set_aside")) == ({"busy": 2}, 1)


def test_a_dead_workers_claim_is_taken_over_with_all_that_it_knew() -> None:
    world = World()
    dead = claimed(world)
    world.ledger.remember(dead, "interaction-4", "wss://corti.example/interaction-4")
    assert world.run(body()) is DeliveryOutcome.DONE
    assert isinstance(world.publisher.last, Completed)
    assert (world.publisher.last.attempts, world.publisher.last.interaction_id) == (2, "interaction-4")
    assert world.publisher.types == [COMPLETED], "the dead worker has already published `started`"
    assert world.service.interactions == {}, "a new interaction was created"
    assert claims(world) == {"busy": 1, "taken_over": 1}
    assert world.nothing_is_left_open()


def test_the_repetition_of_a_job_that_has_ended_is_dropped() -> None:
    world = World()
    world.run(body())
    before = list(world.publisher.events)
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.publisher.events == before
    assert world.recorder.counts[catalogue.JOBS_REPEATED.name, "dropped"] == 1
    assert len(world.service.streamed) == 1


def test_a_repetition_is_answered_with_the_same_result_where_that_is_wanted() -> None:
    world = World(republish=True)
    world.run(body())
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.publisher.types == [STARTED, COMPLETED, COMPLETED]
    assert world.publisher.events[1] == world.publisher.events[2]
    assert world.recorder.counts[catalogue.JOBS_REPEATED.name, "republished"] == 1
    assert len(world.service.streamed) == 1


def test_a_result_that_another_worker_is_about_to_deliver_is_left_to_it() -> None:
    world = World()
    world.publisher.away = {COMPLETED}
    world.run(body())
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.publisher.set_aside_bodies == [body()]
    assert world.waits == [1.0]
    assert len(world.service.streamed) == 1


def drained_while_streaming(world: World) -> None:
    world.service.during = lambda: world.interrupt.wait(1.0)
    world.interrupt.after(1.5, lambda: world.interrupt.trigger(InterruptReason.DRAIN))


def drained_between_attempts(world: World) -> None:
    world.service.breaks("stream", CUT)
    world.interrupt.after(0.5, lambda: world.interrupt.trigger(InterruptReason.DRAIN))


@pytest.mark.parametrize("drained", [drained_while_streaming, drained_between_attempts])
def test_a_drain_hands_the_job_back_and_its_attempt_does_not_count(
    drained: Callable[[World], None],
) -> None:
    world = World()
    drained(world)
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    assert world.publisher.types == [STARTED]
    assert handed_back(world, "drain") == 1
    assert world.nothing_is_left_open()
    world.service.during = lambda: None
    assert world.run(body()) is DeliveryOutcome.DONE
    assert isinstance(world.publisher.last, Completed)
    assert (world.publisher.last.attempts, world.publisher.last.interaction_id) == (1, "interaction-1")


def test_a_drain_does_not_wait_for_somebody_elses_claim_or_for_redis() -> None:
    world = World()
    claimed(world)
    world.interrupt.after(2.0, lambda: world.interrupt.trigger(InterruptReason.DRAIN))
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    world.ledger.away = {"claim": -1}
    world.interrupt.after(2.0, lambda: world.interrupt.trigger(InterruptReason.DRAIN))
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    assert handed_back(world, "drain") == 2
    assert world.publisher.set_aside_bodies == []


def test_a_job_whose_claim_is_lost_is_left_alone_and_publishes_nothing() -> None:
    world = World()
    world.service.during = lambda: world.interrupt.wait(1.0)
    world.interrupt.after(1.5, lambda: world.interrupt.trigger(InterruptReason.CLAIM_LOST))
    assert world.run(body()) is DeliveryOutcome.FORFEIT
    assert world.publisher.types == [STARTED]
    assert world.ledger.records[JOB].owner == "owner-0", "a lost claim must not be released"
    assert handed_back(world, "claim_lost") == 1
    assert world.nothing_is_left_open()


@pytest.mark.parametrize("failing", [False, True])
def test_a_claim_that_was_lost_unseen_is_noticed_before_anything_is_published(failing: bool) -> None:
    world = World()
    world.service.during = lambda: world.ledger.steal(JOB)
    world.service.breaks("stream", PermanentError(Reason.CONFIG_DENIED, "no") if failing else None)
    assert world.run(body()) is DeliveryOutcome.FORFEIT
    assert world.publisher.types == [STARTED]
    assert world.publisher.letters == []
    assert world.ledger.records[JOB].outbox_entry is None


def test_a_claim_that_was_lost_unseen_is_noticed_before_the_next_attempt() -> None:
    world = World()
    world.service.during = lambda: world.ledger.steal(JOB)
    world.service.breaks("stream", CUT)
    assert world.run(body()) is DeliveryOutcome.FORFEIT
    assert world.service.streamed == []


def test_a_broker_that_is_away_gets_the_job_back_and_the_claim_is_released() -> None:
    world = World()
    world.publisher.away = {COMPLETED}
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    assert (handed_back(world, "unconfirmed"), world.ledger.records[JOB].owner) == (1, "")


def test_a_claim_that_cannot_be_released_runs_out_by_itself() -> None:
    world = World()
    world.ledger.away = {"release": 1}
    drained_between_attempts(world)
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    assert world.run(body()) is DeliveryOutcome.DONE
    assert claims(world) == {"claimed": 1, "busy": 1, "taken_over": 1}


def test_while_the_ledger_is_away_nothing_is_run() -> None:
    world = World()
    world.ledger.away = {"claim": 7}
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.waits == [1.0] * 7
    assert world.publisher.types == [STARTED, COMPLETED]


def test_a_job_that_runs_does_not_need_the_ledger() -> None:
    world = World()
    world.ledger.away = {"remember": -1, "again": -1}
    world.service.breaks("stream", CUT)
    assert world.run(body()) is DeliveryOutcome.DONE
    assert isinstance(world.publisher.last, Completed)
    assert world.publisher.last.attempts == 2


@pytest.mark.parametrize("step", ["store", "delivered"])
def test_the_end_of_a_job_waits_for_the_ledger(step: str) -> None:
    world = World()
    world.ledger.away = {step: 3}
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.waits == [1.0] * 3
    assert world.publisher.types == [STARTED, COMPLETED], "each event once"


def test_a_job_whose_end_cannot_be_stored_is_handed_back() -> None:
    world = World()
    world.ledger.away = {"store": -1}
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    assert sum(world.waits) == pytest.approx(300)
    assert world.publisher.types == [STARTED]


@pytest.mark.parametrize("limit", ["not_after", "job_seconds"])
def test_a_job_whose_time_runs_out_while_it_runs_is_expired(limit: str) -> None:
    late = limit == "not_after"
    world = World(job_seconds=600.0 if late else 2.5)
    world.service.during = lambda: world.interrupt.wait(1.0)
    moment = (EPOCH + timedelta(seconds=2.5)).isoformat()
    assert world.run(body(not_after=moment if late else None)) is DeliveryOutcome.DONE
    assert world.publisher.types == [STARTED, FAILED]
    assert isinstance(world.publisher.last, Failed)
    assert world.publisher.last.reason is Reason.EXPIRED
    assert world.publisher.last.interaction_id == "interaction-1"
    assert len(world.publisher.letters) == 1
    assert world.clock.wall() == EPOCH + timedelta(seconds=2.5)
