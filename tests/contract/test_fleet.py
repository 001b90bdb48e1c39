"""Which process reports about the whole installation, and what it reports: on real servers."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import kombu
import pytest
import redis

from ops.lib import queues
from ops.lib.servers import RedisServer
from tests.contract.relay import Relay
from tests.fakes import FakeClock
from worker.broker.depth import Depth, RabbitDepth, RedisDepth
from worker.broker.senders import RabbitSender, RedisSender
from worker.broker.topology import Lane
from worker.jobs.claims import LedgerUnavailable
from worker.jobs.ingress_headers import IngressHeaders
from worker.jobs.ports import BrokerUnavailable
from worker.process.observer import LOOK_SECONDS, Observer
from worker.store.ledger import Fleet


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def age(client: redis.Redis, lane: str = "main") -> None:
    """Make the last reports of a lane's processes and of its observer too old to count as alive."""
    names: Any = client.zrange(f"corti:v1:fleet:{lane}", 0, -1)
    client.zadd(f"corti:v1:fleet:{lane}", dict.fromkeys(names, 1))
    client.delete(f"corti:v1:fleet:{lane}:observer")


def test_one_process_at_a_time_knows_what_all_of_them_run(client: redis.Redis) -> None:
    first, second, third = (Fleet(client, "") for _ in range(3))
    assert first.report(3) == 3
    assert second.report(4) is None
    assert third.report(5) is None
    assert first.report(2) == 11


def test_another_process_becomes_the_observer_when_the_observer_leaves_or_dies(client: redis.Redis) -> None:
    first, second = Fleet(client, ""), Fleet(client, "")
    assert (first.report(3), second.report(4)) == (3, None)
    first.leave()
    assert second.report(4) == 4
    assert first.report(3) is None
    age(client)
    assert first.report(1) == 1, "the reports of the dead processes must not count"
    first.leave()
    first.leave()
    assert client.exists("corti:v1:fleet:main", "corti:v1:fleet:main:running") == 0


def test_a_process_that_leaves_does_not_end_another_observers_role(client: redis.Redis) -> None:
    first, second = Fleet(client, ""), Fleet(client, "")
    assert (first.report(3), second.report(4)) == (3, None)
    second.leave()
    assert first.report(3) == 3


def test_lanes_have_observers_of_their_own(client: redis.Redis) -> None:
    assert (Fleet(client, "").report(1), Fleet(client, "urgent").report(2)) == (1, 2)


def test_a_redis_that_is_away_is_reported(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url, socket_timeout=1) as client:
        own_redis.stop()
        with pytest.raises(LedgerUnavailable):
            Fleet(client, "").report(1)


# -- depth -------------------------------------------------------------------------------------


def depth_of(url: str, lane: Lane) -> Depth:
    """The adapter by which the worker asks this broker for its queues' depths."""
    if url.startswith("redis"):
        return RedisDepth(redis.Redis.from_url(url, single_connection_client=False), lane)
    return RabbitDepth(url, lane)


@pytest.mark.parametrize("lane", [Lane(), Lane("urgent")], ids=["main", "urgent"])
def test_what_waits_is_counted_by_queue(broker_url: str, lane: Lane) -> None:
    with closing(depth_of(broker_url, lane)) as depth, queues.connect(broker_url) as box:
        names = {lane.jobs, lane.work, lane.aside, "corti.results", "corti.dead"}
        if not broker_url.startswith("redis"):
            names.add(lane.undelivered)
        assert depth.read() == dict.fromkeys(names, 0), "a queue that does not exist yet must count as empty"
        box.put(b"1", b"2", b"3", queue=lane.jobs)
        sender = sender_of(broker_url, lane)
        sender.send_dead_letter(b"{}", "id-1")
        sender.send_aside(b"{}", IngressHeaders())
        for _ in range(2):
            sender.send_event(b"{}", "corti.job.completed.v1", None)
        assert depth.read() == {
            **dict.fromkeys(names, 0),
            lane.jobs: 3,
            lane.aside: 1,
            "corti.results": 2,
            "corti.dead": 1,
        }
        if isinstance(sender, RabbitSender):
            sender.close()


def sender_of(url: str, lane: Lane) -> RedisSender | RabbitSender:
    """The adapter by which the worker publishes on this broker."""
    if url.startswith("redis"):
        return RedisSender(redis.Redis.from_url(url), lane)
    return RabbitSender(url, lane)


def test_a_rabbitmq_that_is_away_is_reported_and_asked_again(rabbitmq_relay: Relay) -> None:
    with closing(RabbitDepth(rabbitmq_relay.url, Lane())) as depth:
        assert set(depth.read().values()) == {0}
        rabbitmq_relay.cut()
        with pytest.raises(BrokerUnavailable):
            depth.read()
        rabbitmq_relay.mend()
        assert set(depth.read().values()) == {0}


def test_asking_leaves_no_channel_behind(rabbitmq_url: str) -> None:
    with closing(RabbitDepth(rabbitmq_url, Lane())) as depth:
        for _ in range(20):
            depth.read()
        connection: kombu.Connection = depth._connection
        assert len(connection.connection.channels) <= 2


# -- the observer ------------------------------------------------------------------------------


class Installation:
    """A fake of everything that an observer reads."""

    def __init__(self) -> None:
        self.waiting = {"corti.jobs": 2, "corti.work": 5}
        self.stored = (3, 40.0)
        self.fault: Exception | None = None
        self.closed = False
        self.during: Callable[[], None] = lambda: None

    def read(self) -> dict[str, int]:
        self.during()
        if self.fault is not None:
            raise self.fault
        return self.waiting

    def backlog(self) -> tuple[int, float]:
        if isinstance(self.fault, LedgerUnavailable):
            raise self.fault
        return self.stored

    def close(self) -> None:
        self.closed = True


Make = Callable[[int], Observer]


@pytest.fixture
def there() -> Installation:
    return Installation()


@pytest.fixture
def observer(client: redis.Redis, clock: FakeClock, there: Installation) -> Make:
    return lambda running: Observer(
        Fleet(client, ""), there, there.backlog, lambda: running, "corti.work", clock
    )


def test_only_the_observer_reports(observer: Make) -> None:
    first, second = observer(1), observer(4)
    for one in first, second, first:
        one.look()
    assert first.queues() == {
        ("corti.jobs", "waiting"): 2,
        ("corti.work", "waiting"): 5,
        ("corti.work", "running"): 5,
    }
    assert (first.outbox_results(), first.outbox_age()) == (3, 40.0)
    assert (second.queues(), second.outbox_results(), second.outbox_age()) == ({}, None, None)


def test_a_process_that_is_no_longer_the_observer_reports_nothing(
    observer: Make, client: redis.Redis
) -> None:
    first, second = observer(1), observer(4)
    first.look()
    age(client)
    second.look()
    assert second.queues()
    first.look()
    assert (first.queues(), first.outbox_results()) == ({}, None)


def test_old_numbers_are_not_reported(observer: Make, clock: FakeClock, there: Installation) -> None:
    one = observer(1)
    one.look()
    clock.wait(2 * LOOK_SECONDS)
    assert one.queues()
    there.fault = LedgerUnavailable("away")
    clock.wait(LOOK_SECONDS)
    one.look()
    assert (one.queues(), one.outbox_results(), one.outbox_age()) == ({}, None, None)


def test_while_the_broker_is_away_all_other_numbers_are_reported(observer: Make, there: Installation) -> None:
    one = observer(1)
    one.look()
    there.fault, there.stored = BrokerUnavailable("away"), (7, 90.0)
    one.look()
    assert one.queues() == {("corti.work", "running"): 1}
    assert (one.outbox_results(), one.outbox_age()) == (7, 90.0)


def test_while_the_broker_is_asked_its_last_answer_is_reported(
    observer: Make, clock: FakeClock, there: Installation
) -> None:
    """Otherwise a scrape at this moment would find no series, and an autoscaler would see no waiting jobs."""
    one = observer(1)
    one.look()
    told = []
    there.during = lambda: told.append(one.queues())
    clock.wait(LOOK_SECONDS)
    one.look()
    assert told == [
        {("corti.jobs", "waiting"): 2, ("corti.work", "waiting"): 5, ("corti.work", "running"): 1}
    ]


def test_while_the_broker_hangs_its_last_answer_becomes_too_old_to_report(
    observer: Make, clock: FakeClock, there: Installation
) -> None:
    one = observer(1)
    one.look()
    clock.wait(2 * LOOK_SECONDS)
    told = []

    def hang() -> None:
        clock.wait(LOOK_SECONDS)
        told.append(one.queues())

    there.during = hang
    one.look()
    assert told == [{("corti.work", "running"): 1}]


def test_when_an_observer_stops_another_process_takes_its_place_at_once(
    observer: Make, there: Installation, client: redis.Redis
) -> None:
    one, other = observer(1), observer(2)
    one.start()
    one.stop()
    assert there.closed
    other.look()
    assert other.queues()[("corti.work", "running")] == 2
