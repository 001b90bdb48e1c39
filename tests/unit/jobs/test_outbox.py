"""The sweeper: it delivers results that were stored but not delivered."""

import pytest
from structlog.testing import capture_logs

from tests.unit.examples import body
from tests.unit.jobs.world import World
from worker.contract.errors import PermanentError, Reason
from worker.contract.events import COMPLETED, FAILED, STARTED
from worker.telemetry import catalogue


def left_behind(*job_ids: str) -> World:
    """A world in which these jobs have stored results that the broker did not get."""
    world = World()
    world.publisher.away = {COMPLETED, FAILED}
    for job_id in job_ids:
        world.run(body(job_id=job_id, reply_to="corti.results.ehr-2"))
    world.publisher.away = set()
    world.clock.advance(world.ledger.lease)
    return world


def test_a_result_that_was_left_behind_is_delivered_once_to_the_queue_that_its_job_named() -> None:
    world = left_behind("a", "b")
    assert world.sweeper.sweep() == 2
    assert [(event.id, to) for event, to in world.publisher.events if event.type == COMPLETED] == [
        ("a/result", "corti.results.ehr-2"),
        ("b/result", "corti.results.ehr-2"),
    ]
    assert world.recorder.counts[catalogue.RESULTS_SWEPT.name,] == 2
    world.clock.advance(1000)
    assert world.sweeper.sweep() == 0


def test_a_failure_that_was_left_behind_comes_with_its_dead_letter() -> None:
    world = World()
    world.publisher.away = {"letters"}
    world.service.breaks("open", PermanentError(Reason.CONFIG_DENIED, "no"))
    world.run(body())
    assert world.publisher.types == [STARTED]
    world.publisher.away = set()
    world.clock.advance(world.ledger.lease)
    assert world.sweeper.sweep() == 1
    assert world.publisher.types == [STARTED, FAILED]
    assert [letter.reason for letter in world.publisher.letters] == [Reason.CONFIG_DENIED]


@pytest.mark.parametrize("step", ["take_undelivered", "outbox_entry", "delivered"])
def test_a_sweep_that_redis_interrupts_is_made_up_for_by_the_next(step: str) -> None:
    world = left_behind("a")
    world.ledger.away = {step: 1}
    with capture_logs() as logs:
        assert world.sweeper.sweep() == 0
    assert [line["event"] for line in logs] == ["sweep_interrupted"]
    world.clock.advance(world.ledger.lease)
    assert world.sweeper.sweep() == 1
    assert {event.id for event, _ in world.publisher.events} == {"a/started", "a/result"}


def test_a_broker_that_is_still_away_leaves_everything_as_it_is() -> None:
    world = left_behind("a", "b")
    world.publisher.away = {COMPLETED}
    assert world.sweeper.sweep() == 0
    world.publisher.away = set()
    world.clock.advance(world.ledger.lease)
    assert world.sweeper.sweep() == 2


def test_a_result_that_cannot_be_decrypted_is_logged_and_holds_up_no_other() -> None:
    world = left_behind("a", "b")
    world.ledger.unreadable = {"a"}
    with capture_logs() as logs:
        assert world.sweeper.sweep() == 1
    assert [(line["event"], line["job_id"]) for line in logs] == [("stored_result_unreadable", "a")]


def test_a_reply_queue_that_refuses_does_not_keep_the_results_of_others() -> None:
    world = World()
    world.publisher.away = {COMPLETED}
    world.run(body(job_id="a", reply_to="corti.results.full"))
    world.run(body(job_id="b"))
    world.publisher.away, world.publisher.refusing = set(), {"corti.results.full"}
    world.clock.advance(world.ledger.lease)
    with capture_logs() as logs:
        assert world.sweeper.sweep() == 1
    assert [line["event"] for line in logs] == ["reply_refused"]
    assert [event.id for event, _ in world.publisher.events if event.type == COMPLETED] == ["b/result"]
    world.publisher.refusing = set()
    world.clock.advance(world.ledger.lease)
    assert world.sweeper.sweep() == 1
