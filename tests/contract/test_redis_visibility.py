"""Celery's deliveries on Redis: renewed while their jobs run; kombu corrected, for pinned versions only."""

import json
from collections.abc import Iterator
from typing import Any

import kombu
import pytest
import redis
from kombu.transport import redis as kombu_redis

from ops.lib.servers import RedisServer
from tests.contract.waiting import eventually
from tests.fakes import FakeClock, FakeRecorder
from worker.broker import redis_corrections
from worker.broker.redis_time import ServerTime
from worker.broker.redis_visibility import VisibilityRenewer, transport_options, unacked, unacked_index
from worker.broker.topology import MAIN_LANE
from worker.broker.work_queue import make_celery
from worker.clock import SystemClock
from worker.telemetry import catalogue

UNACKED, UNACKED_INDEX = unacked(MAIN_LANE), unacked_index(MAIN_LANE)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


def scores(client: redis.Redis) -> dict[bytes, float]:
    """The unacknowledged deliveries, and the time that Redis holds for each."""
    found: Any = client.zrange(UNACKED_INDEX, 0, -1, withscores=True)
    return dict(found)


def server_time(client: redis.Redis) -> float:
    """The time by Redis' own clock."""
    found: Any = client.time()
    return float(found[0]) + float(found[1]) / 1e6


def test_only_held_deliveries_that_are_still_there_are_renewed(
    client: redis.Redis, clock: FakeClock, recorder: FakeRecorder
) -> None:
    renewer = VisibilityRenewer(client, 60, recorder, clock)
    client.zadd(UNACKED_INDEX, {"held": 1.0, "of somebody else": 2.0, "dropped": 3.0})
    with renewer.kept("dropped"):
        pass
    with renewer.kept("held"), renewer.kept("acknowledged"):
        renewer.renew()
        now = server_time(client)
        assert scores(client) == {
            b"of somebody else": 2.0,
            b"dropped": 3.0,
            b"held": pytest.approx(now, abs=5),
        }
        assert recorder.total(catalogue.LEASE_RENEWALS, outcome="renewed") == 1
        assert recorder.total(catalogue.LEASE_RENEWALS, outcome="lost") == 1
        before = scores(client)[b"held"]
        renewer.renew()
        assert before < scores(client)[b"held"] == pytest.approx(now, abs=5)


@pytest.mark.usefixtures("kombu_as_it_was")
@pytest.mark.parametrize("skew", [-600, 600])
def test_deliveries_are_dated_by_redis_whatever_the_clock_of_the_host_says(
    client: redis.Redis, recorder: FakeRecorder, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    wrong = server_time(client) + skew
    monkeypatch.setattr(kombu_redis, "time", lambda: wrong)
    redis_corrections.install(lambda: client)
    for tag, age in (("overdue", 90), ("of another worker", 30)):
        client.zadd(UNACKED_INDEX, {tag: server_time(client) - age})
    with kombu.Connection("redis://", transport_options=transport_options(60)) as connection:
        connection.hostname, connection.port = "127.0.0.1", client.get_connection_kwargs()["port"]
        channel: Any = connection.channel()
        connection.SimpleQueue(MAIN_LANE.work, channel=channel).put({})
        consumer = connection.SimpleQueue(MAIN_LANE.work)
        delivered = consumer.get(timeout=5)
        dated = scores(client)[delivered.delivery_tag.encode()]
        assert dated == pytest.approx(server_time(client), abs=5)
        renewer = VisibilityRenewer(client, 60, recorder, FakeClock())
        with renewer.kept("of another worker"):
            renewer.renew()
        assert scores(client)[b"of another worker"] == pytest.approx(dated, abs=5)
        channel.qos.restore_visible(interval=1)
        assert set(scores(client)) == {b"of another worker", delivered.delivery_tag.encode()}
        delivered.ack()


def test_the_servers_time_is_carried_on_through_an_outage(own_redis: RedisServer) -> None:
    clock = FakeClock()
    with redis.Redis.from_url(own_redis.url, socket_timeout=1) as client:
        now = ServerTime(lambda: client, clock, max_age=10)
        began = now()
        assert began == pytest.approx(server_time(client), abs=5)
        own_redis.stop()
        clock.wait(9)
        assert now() == pytest.approx(began + 9)
        clock.wait(20)
        assert now() == pytest.approx(began + 29)
        with pytest.raises(redis.ConnectionError):
            ServerTime(lambda: client, clock)()
        own_redis.start()
        # 29 s have passed on the fake clock only. The server is asked again, and its own time counts.
        assert now() == pytest.approx(began, abs=20)


def test_without_held_deliveries_no_renewal_is_sent(
    client: redis.Redis, clock: FakeClock, recorder: FakeRecorder
) -> None:
    VisibilityRenewer(client, 60, recorder, clock).renew()
    assert scores(client) == {}
    assert recorder.total(catalogue.LEASE_RENEWALS) == 0


def test_the_thread_renews_four_times_in_a_timeout_and_outlasts_redis(
    own_redis: RedisServer, recorder: FakeRecorder
) -> None:
    with redis.Redis.from_url(own_redis.url, socket_timeout=1) as client:
        renewer = VisibilityRenewer(client, 1, recorder, SystemClock())
        client.zadd(UNACKED_INDEX, {"held": 1.0})
        with renewer.kept("held"):
            renewer.start()
            eventually(lambda: recorder.total(catalogue.LEASE_RENEWALS, outcome="renewed") >= 2, 2)
            own_redis.stop()
            eventually(lambda: recorder.total(catalogue.LEASE_RENEWALS, outcome="error") >= 1)
            own_redis.start()
            client.zadd(UNACKED_INDEX, {"held": 1.0})
            eventually(lambda: scores(client)[b"held"] > 1.0)
            renewer.stop()


@pytest.mark.usefixtures("kombu_as_it_was")
@pytest.mark.parametrize("package", ["celery", "kombu"])
def test_the_corrections_refuse_versions_they_were_not_made_for(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kombu_redis.QoS.ack
    monkeypatch.setitem(redis_corrections._CORRECTED, package, "5.6.9")
    with pytest.raises(RuntimeError, match=r"install the pinned versions"):
        redis_corrections.install(redis.Redis)
    assert kombu_redis.QoS.ack is before


@pytest.mark.usefixtures("kombu_as_it_was")
def test_an_acknowledgement_whose_channel_was_lost_is_made_by_a_fresh_client(client: redis.Redis) -> None:
    class LostChannel:
        """kombu's channel after its connection was collected: it has no client any more."""

        connection = None
        unacked_key, unacked_index_key = UNACKED, UNACKED_INDEX

    redis_corrections.install(lambda: client)
    client.hset(UNACKED, mapping={"ours": "message", "theirs": "message"})
    client.zadd(UNACKED_INDEX, {"ours": 1.0, "theirs": 1.0})
    quality = kombu_redis.QoS(LostChannel())
    quality.ack("ours")
    assert client.hkeys(UNACKED) == [b"theirs"]
    assert scores(client) == {b"theirs": 1.0}
    # A lost channel does not restore its other deliveries: their jobs still run.
    quality.restore_unacked_once()
    assert client.hkeys(UNACKED) == [b"theirs"]


def test_a_worker_that_is_killed_in_its_sweep_does_not_keep_others_from_sweeping(redis_url: str) -> None:
    """The dead worker leaves the sweep's lock behind, which kombu would keep for five minutes."""
    app = make_celery(redis_url, redis_options=transport_options(6), consumer_timeout=3600)
    with app.connection_for_read() as connection, redis.Redis.from_url(redis_url) as client:
        channel = connection.default_channel
        client.hset(UNACKED, "overdue", json.dumps([{"body": "a job"}, "", MAIN_LANE.work]))
        client.zadd(UNACKED_INDEX, {"overdue": 1.0})
        dead = client.lock(channel.unacked_mutex_key, timeout=channel.unacked_mutex_expire)
        assert dead.acquire(blocking=False)
        channel.qos.restore_visible(interval=1)
        assert scores(client) == {b"overdue": 1.0}, "there were two sweeps at once"

        def swept() -> bool:
            channel.qos.restore_visible(interval=1)
            return not scores(client)

        eventually(swept, 3)
        assert client.lrange(MAIN_LANE.work, 0, -1) != []
    app.close()


@pytest.mark.usefixtures("kombu_as_it_was")
def test_a_channel_makes_one_client_and_another_when_its_connections_were_lost(
    redis_url: str, client: redis.Redis
) -> None:
    redis_corrections.install(lambda: client)
    app = make_celery(redis_url, redis_options=transport_options(60), consumer_timeout=3600)
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
            assert first.ping()
        channel._disconnect_pools()
        with channel.conn_or_acquire() as third:
            assert third is not first
            assert third.ping()
    app.close()


def test_a_forfeit_holds_for_one_delivery_and_not_for_the_next_with_its_tag(
    client: redis.Redis, kombu_as_it_was: None, clock: FakeClock, recorder: FakeRecorder, redis_url: str
) -> None:
    """Kombu restores a message with its old tag, and the same process may get it again."""
    redis_corrections.install(lambda: client)
    renewer = VisibilityRenewer(client, 60, recorder, clock)
    with kombu.Connection(redis_url, transport_options=transport_options(60)) as connection:
        queue = connection.SimpleQueue("corti.work")
        queue.put("a job")
        first = queue.get(timeout=5)
        tag = first.delivery_tag
        renewer.forfeit(tag)
        first.ack()
        assert list(scores(client)) == [tag.encode()], "the forfeited delivery was acknowledged"
        first.channel.qos.restore_by_tag(tag)
        again = queue.get(timeout=5)
        assert again.delivery_tag == tag
        again.ack()
        assert scores(client) == {}, "the next delivery was not acknowledged"
        queue.close()
