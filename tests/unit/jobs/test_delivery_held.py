"""Deliveries are held while the broker or Redis is away.

If they were handed back, the broker would deliver them again at once and count each time.
"""

import pytest

from tests.unit.examples import body
from tests.unit.jobs.test_delivery import claimed, handed_back
from tests.unit.jobs.world import World
from worker.concurrency.interrupt import InterruptReason
from worker.contract.events import COMPLETED, STARTED
from worker.jobs.ingress_headers import DeliveryOutcome


def test_a_delivery_that_cannot_go_aside_is_held_until_it_can() -> None:
    """If it were handed back, RabbitMQ would deliver it again at once, and count each time."""
    world = World()
    world.ledger.kept.add(claimed(world).owner)
    world.publisher.away = {"aside"}
    world.interrupt.after(100.0, world.publisher.away.clear)
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.publisher.set_aside_bodies == [body()]
    assert sum(world.waits) == pytest.approx(101, abs=1.5)
    assert handed_back(world, "set_aside") == 1


def test_a_delivery_that_cannot_go_aside_is_handed_back_by_a_drain() -> None:
    world = World()
    world.ledger.kept.add(claimed(world).owner)
    world.publisher.away = {"aside"}
    world.interrupt.after(40.0, lambda: world.interrupt.trigger(InterruptReason.DRAIN))
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    assert (handed_back(world, "set_aside"), handed_back(world, "drain")) == (0, 1)


@pytest.mark.parametrize("away", ["ledger", "publisher"])
def test_a_repetition_that_cannot_be_answered_now_is_held_until_it_can(away: str) -> None:
    world = World(republish=True)
    world.run(body())
    if away == "ledger":
        world.ledger.away = {"outbox_entry": 5}
    else:
        world.publisher.away = {COMPLETED}
        world.interrupt.after(4.5, world.publisher.away.clear)
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.waits == [1.0] * 5
    assert world.publisher.types == [STARTED, COMPLETED, COMPLETED]


def test_a_repetition_that_cannot_be_answered_is_handed_back_by_a_drain() -> None:
    world = World(republish=True)
    world.run(body())
    world.publisher.away = {COMPLETED}
    world.interrupt.after(4.5, lambda: world.interrupt.trigger(InterruptReason.DRAIN))
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    assert handed_back(world, "drain") == 1
