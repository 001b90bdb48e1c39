"""The doors on Redis and RabbitMQ, with a fake ingress: messages come in order, one by one, none lost."""

import gzip
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from ops.lib.servers import RedisServer
from tests.contract.doorway import Doorway
from tests.contract.relay import Relay
from tests.contract.waiting import eventually
from tests.fakes import FakeIngress
from worker.broker import senders, topology
from worker.broker.door import POLL_SECONDS
from worker.broker.topology import DELIVERY_LIMIT, JOBS, MAIN_LANE
from worker.jobs.ingress_headers import NO_HEADERS, IngressHeaders

_AT = datetime(2026, 5, 4, 10, 30, 0, 125_000, tzinfo=UTC)
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the door's polls: with a poll of a second, most tests would wait that long for its end."""
    monkeypatch.setattr("worker.broker.door.POLL_SECONDS", 0.1)
    monkeypatch.setattr("worker.broker.door.PAUSE_SECONDS", 0.1)


@pytest.fixture
def way(broker_url: str) -> Iterator[Doorway]:
    with closing(Doorway(broker_url)) as made:
        yield made


@pytest.fixture
def rabbit_way(rabbitmq_url: str) -> Iterator[Doorway]:
    with closing(Doorway(rabbitmq_url)) as made:
        yield made


def bodies(number: int) -> list[bytes]:
    """So many different messages."""
    return [b'{"job_id": "%d"}' % one for one in range(number)]


def test_messages_are_taken_in_order_and_one_at_a_time(way: Doorway) -> None:
    way.ingress.seconds = 0.002
    with way.open():
        way.put(*bodies(60))
        way.ingress.wait_for(60)
    assert way.ingress.taken == bodies(60)
    assert way.ingress.most_at_once == 1
    assert way.waiting() == 0


def test_messages_from_before_the_door_was_opened_are_taken(way: Doorway) -> None:
    way.put(*bodies(3))
    with way.open():
        way.ingress.wait_for(3)
    assert way.ingress.taken == bodies(3)


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00", bytes(range(256)), b"\xff\xfe\xfd", b"not json", b"\r\n$3\r\nabc\r\n", b"x" * 1_500_000],
    ids=["empty", "nul", "all bytes", "not utf-8", "text", "protocol", "large"],
)
def test_any_body_arrives_as_it_was(way: Doorway, body: bytes) -> None:
    way.put(body, b"next")
    with way.open():
        way.ingress.wait_for(2)
    assert way.ingress.taken == [body, b"next"]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "gzip", "binary", "no-such-encoding", None])
def test_what_a_producer_says_about_the_encoding_changes_nothing(
    rabbit_way: Doorway, encoding: str | None
) -> None:
    way = rabbit_way
    body = gzip.compress("Ärztin".encode())
    properties = {"content_encoding": encoding} if encoding else {}
    way.put_with(body, content_type="text/plain", headers={"compression": "zlib", "x": 1}, **properties)
    with way.open():
        way.ingress.wait_for(1)
    assert way.ingress.taken == [body]


def test_a_message_that_cannot_be_passed_on_stays_and_comes_first_again(way: Doorway) -> None:
    way.ingress.up = False
    with way.open():
        way.put(*bodies(5))
        way.ingress.wait_for(refused=1)
        way.ingress.up = True
        way.ingress.wait_for(5)
    assert way.ingress.taken == bodies(5)
    assert way.waiting() == 0


def test_an_outage_of_any_length_costs_no_message(way: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
    # More attempts than RabbitMQ delivers one message (x-delivery-limit), in a short time.
    monkeypatch.setattr("worker.broker.door.PAUSE_SECONDS", 0.005)
    way.ingress.up = False
    with way.open():
        way.put(*bodies(3))
        way.ingress.wait_for(refused=DELIVERY_LIMIT + 10)
        way.ingress.up = True
        way.ingress.wait_for(3)
    assert way.ingress.taken == bodies(3)


def test_a_door_that_is_told_to_stop_leaves_the_rest_in_order(way: Doorway) -> None:
    way.ingress.up = False
    with way.open():
        way.put(*bodies(5))
        way.ingress.wait_for(refused=1)
    eventually(lambda: way.waiting() == 5)
    way.ingress.up = True
    with way.open():
        way.ingress.wait_for(5)
    assert way.ingress.taken == bodies(5)


def test_an_ingress_that_breaks_for_good_loses_nothing(way: Doorway) -> None:
    broken = FakeIngress()
    broken.failure = ZeroDivisionError("a fault of ours")
    with way.open(broken) as door:
        way.put(*bodies(3))
        door.join(10)
        assert isinstance(door.failure, ZeroDivisionError)
    if way.on_redis:
        # The door has taken the message, and only its sign of life in Redis protects it; let that run out.
        with redis.Redis.from_url(way._url) as client:
            (sign,) = client.scan_iter(f"{JOBS}:door:*")
            client.delete(sign)
    with way.open():
        way.ingress.wait_for(3)
    assert sorted(way.ingress.taken) == bodies(3)


def test_a_door_stops_promptly_and_reports_that_it_is_off_duty(
    way: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.broker.door.POLL_SECONDS", POLL_SECONDS)
    with way.open() as door:
        assert way.beats.wait(10)
        way.rests.clear()
        began = time.monotonic()
        door.leave()
    assert time.monotonic() - began < 2
    assert way.rests.is_set()


def test_two_doors_share_the_work_and_take_each_message_once(way: Doorway) -> None:
    way.ingress.seconds = 0.001
    with way.open(), way.open():
        way.put(*bodies(200))
        way.ingress.wait_for(200)
    assert sorted(way.ingress.taken) == sorted(bodies(200))


@pytest.mark.parametrize("headers", [IngressHeaders(_AT, _TRACE), IngressHeaders(_AT), IngressHeaders()])
def test_the_headers_of_a_job_go_aside_with_it_and_come_back(
    way: Doorway, headers: IngressHeaders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "ASIDE_SECONDS", 0)
    monkeypatch.setattr(topology, "ASIDE_SECONDS", 0)
    monkeypatch.setattr("worker.broker.redis_door._SIGN_SECONDS", 0.1)
    way.set_aside(b"aside", headers)
    with way.open():
        way.ingress.wait_for(1)
        way.put(b"aside", b"another")
        way.ingress.wait_for(3)
    assert way.ingress.taken == [b"aside", b"aside", b"another"]
    assert way.ingress.known == [headers, IngressHeaders(), IngressHeaders()], "no headers of the first"


def test_the_headers_of_a_job_are_kept_while_it_cannot_be_passed_on(
    way: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "ASIDE_SECONDS", 0)
    monkeypatch.setattr(topology, "ASIDE_SECONDS", 0)
    monkeypatch.setattr("worker.broker.redis_door._SIGN_SECONDS", 0.1)
    way.set_aside(b"aside", IngressHeaders(_AT, _TRACE))
    way.ingress.up = False
    with way.open():
        way.ingress.wait_for(refused=2)
    way.ingress.up = True
    with way.open():
        way.ingress.wait_for(1)
    assert way.ingress.known == [IngressHeaders(_AT, _TRACE)]


# -- Redis -----------------------------------------------------------------------------------


def test_a_job_that_a_first_version_set_aside_comes_back(redis_url: str) -> None:
    way = Doorway(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.zadd(MAIN_LANE.aside, {b"bare": 1.0})
        with way.open():
            way.ingress.wait_for(1)
    assert (way.ingress.taken, way.ingress.known) == ([b"bare"], [IngressHeaders()])


class BusyIngress(FakeIngress):
    """The worker behind it is quick: it has set a job aside before the door has finished with its message."""

    def __init__(self, redis_url: str) -> None:
        super().__init__()
        self._url = redis_url

    def take(self, body: bytes, known: IngressHeaders = NO_HEADERS) -> None:
        super().take(body, known)
        if len(self.taken) < 3:
            with redis.Redis.from_url(self._url) as client:
                senders.RedisSender(client).send_aside(body, IngressHeaders(_AT, _TRACE))


def test_a_job_that_is_set_aside_before_the_door_has_finished_with_it_keeps_its_headers(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "ASIDE_SECONDS", 0)
    monkeypatch.setattr("worker.broker.redis_door._SIGN_SECONDS", 0.1)
    way = Doorway(redis_url)
    way.ingress = BusyIngress(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        with way.open():
            way.put(b"job")
            way.ingress.wait_for(3)
        assert way.ingress.known == [IngressHeaders(), *2 * [IngressHeaders(_AT, _TRACE)]]
        assert not list(client.scan_iter(f"{MAIN_LANE.aside}*")), "nothing is left of a job that came back"


def test_a_door_reads_no_headers_from_redis_while_no_job_is_aside(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.broker.redis_door._ASK_SECONDS", 0.0)
    way = Doorway(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        with way.open():
            way.put(*bodies(3))
            way.ingress.wait_for(3)
        commands: Any = client.info("commandstats")
    assert "cmdstat_get" not in commands


def test_the_headers_of_a_job_that_is_aside_expire_within_a_day(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        senders.RedisSender(client).send_aside(b"aside", IngressHeaders(_AT))
        (key,) = client.scan_iter(f"{MAIN_LANE.aside}:known:*")
        life: Any = client.ttl(key)
    assert 3600 < life <= 86_400


def test_a_door_on_redis_leaves_nothing_behind(redis_url: str) -> None:
    way = Doorway(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        with way.open():
            way.put(*bodies(2))
            way.ingress.wait_for(2)
            assert list(client.scan_iter(f"{JOBS}:door:*"))
        assert list(client.scan_iter(f"{JOBS}*")) == []


def test_messages_that_a_dead_door_had_taken_come_next(redis_url: str) -> None:
    way = Doorway(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.lpush(f"{JOBS}:taken:dead", b"taken by the dead")
        client.sadd(f"{JOBS}:doors", "dead")
        way.put(b"later")
        with way.open():
            way.ingress.wait_for(2)
        assert client.smembers(f"{JOBS}:doors") == set()
    assert way.ingress.taken == [b"taken by the dead", b"later"]


def test_messages_that_a_living_door_has_taken_are_left_to_it(redis_url: str) -> None:
    way = Doorway(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.lpush(f"{JOBS}:taken:alive", b"in good hands")
        client.sadd(f"{JOBS}:doors", "alive")
        client.set(f"{JOBS}:door:alive", 1)
        with way.open():
            way.put(b"another")
            way.ingress.wait_for(1)
        assert client.lrange(f"{JOBS}:taken:alive", 0, -1) == [b"in good hands"]
    assert way.ingress.taken == [b"another"]


def test_a_door_outlasts_a_restart_of_redis(own_redis: RedisServer) -> None:
    way = Doorway(own_redis.url)
    with way.open():
        assert way.beats.wait(5)
        own_redis.stop()
        assert way.rests.wait(5)
        way.beats.clear()
        own_redis.start()
        way.put(*bodies(3))
        way.ingress.wait_for(3)
        assert way.beats.is_set()
    assert way.ingress.taken == bodies(3)


# -- RabbitMQ --------------------------------------------------------------------------------


def test_a_door_outlasts_the_loss_of_its_connection(rabbitmq_url: str, rabbitmq_relay: Relay) -> None:
    with closing(Doorway(rabbitmq_url, rabbitmq_relay.url)) as way, way.open():
        way.put(b"before")
        way.ingress.wait_for(1)
        rabbitmq_relay.cut()
        assert way.rests.wait(5)
        way.put(*bodies(3))
        rabbitmq_relay.mend()
        eventually(lambda: bodies(3)[-1] in way.ingress.taken)
    # The first message comes twice if its acknowledgement was lost with the connection.
    assert list(dict.fromkeys(way.ingress.taken)) == [b"before", *bodies(3)]


def test_a_door_that_cannot_pass_on_is_off_duty_and_back_on_duty_afterwards(rabbit_way: Doorway) -> None:
    rabbit_way.ingress.up = False
    with rabbit_way.open():
        rabbit_way.put(b"one")
        assert rabbit_way.rests.wait(10)
        rabbit_way.beats.clear()
        rabbit_way.ingress.up = True
        assert rabbit_way.beats.wait(10)
        rabbit_way.ingress.wait_for(1)


def test_a_queue_that_is_deleted_under_the_door_is_made_anew(rabbit_way: Doorway) -> None:
    way = rabbit_way
    with way.open():
        way.put(b"before")
        way.ingress.wait_for(1)
        way.rests.clear()
        way.delete_queue()
        assert way.rests.wait(5)
        way.put(b"after")
        way.ingress.wait_for(2)
    assert way.ingress.taken == [b"before", b"after"]
