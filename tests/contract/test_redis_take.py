"""A delivery is taken from Celery's queue on Redis and noted as unacknowledged in one step.

At no moment is a message in neither place, so none is lost with its worker.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import kombu
import pytest
import redis
from kombu.transport.virtual import Empty

from tests.contract.test_redis_visibility import scores
from worker.broker import redis_corrections
from worker.broker.redis_visibility import transport_options, unacked
from worker.broker.topology import MAIN_LANE, WORK

UNACKED = unacked(MAIN_LANE)
#: Values that Lua would change if it encoded them as JSON: an empty list, a number beyond 2^53, a slash.
BODY = {"empty": [], "large": 12345678901234567890, "path": "a/b", "text": "née"}

pytestmark = pytest.mark.usefixtures("kombu_as_it_was")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        redis_corrections.install(lambda: client)
        yield client
        client.config_set("maxmemory", 0)


@contextmanager
def consumer(url: str) -> Iterator[tuple[Any, list[Any]]]:
    """A channel that consumes the queue, as Celery's does, and the list of messages that it was given."""
    given: list[Any] = []
    with kombu.Connection(url, transport_options=transport_options(60)) as connection:
        channel = connection.channel()
        queue = kombu.Queue(WORK, kombu.Exchange(""), routing_key=WORK)
        with closing(kombu.Consumer(channel, [queue], on_message=given.append)) as consuming:
            consuming.consume()
            yield channel, given


def publish(url: str, *bodies: object) -> None:
    with kombu.Connection(url, transport_options=transport_options(60)) as connection:
        for body in bodies:
            connection.Producer().publish(body, routing_key=WORK, serializer="json")


def wait(channel: Any) -> None:
    """Ask Redis for a message, but do not read the answer yet."""
    channel.connection.cycle._register_BRPOP(channel)


def turn(channel: Any) -> None:
    """Ask Redis for a message and read the answer, as one turn of Celery's loop does."""
    channel.connection.client.drain_events(timeout=5)


def anywhere(client: redis.Redis) -> int:
    """The number of messages that Redis has, waiting or unacknowledged."""
    return int(client.llen(WORK)) + int(client.hlen(UNACKED))


def test_a_message_is_given_as_it_was_sent_and_noted(client: redis.Redis, redis_url: str) -> None:
    publish(redis_url, BODY)
    with consumer(redis_url) as (channel, given):
        turn(channel)
        (message,) = given
        assert message.payload == BODY
        tag = message.delivery_tag
        noted: Any = client.hget(UNACKED, tag)
        assert json.loads(noted) == [message._raw, "", WORK]
        assert list(scores(client)) == [tag.encode()]
        assert client.llen(WORK) == 0
        message.ack()
        assert (client.hlen(UNACKED), scores(client)) == (0, {})


def test_an_unacknowledged_message_can_be_restored_and_is_the_same_message(
    client: redis.Redis, redis_url: str
) -> None:
    publish(redis_url, BODY)
    with consumer(redis_url) as (channel, given):
        turn(channel)
        channel.qos.restore_by_tag(given[0].delivery_tag)
        assert (client.llen(WORK), client.hlen(UNACKED)) == (1, 0)
        turn(channel)
        assert [message.payload for message in given] == [BODY, BODY]
        assert given[1].delivery_info["redelivered"]
        given[1].ack()


def test_a_redis_without_memory_loses_nothing(client: redis.Redis, redis_url: str) -> None:
    publish(redis_url, BODY)
    client.config_set("maxmemory-policy", "noeviction")
    with consumer(redis_url) as (channel, given):
        wait(channel)
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.ResponseError):
            channel._brpop_read()
        assert given == []
        assert anywhere(client) == 1
        client.config_set("maxmemory", 0)
        turn(channel)
        assert [message.payload for message in given] == [BODY]
        given[0].ack()


def test_a_connection_that_breaks_before_the_answer_was_read_loses_nothing(
    client: redis.Redis, redis_url: str
) -> None:
    with consumer(redis_url) as (channel, given):
        wait(channel)
        publish(redis_url, BODY)
        channel.client.connection.disconnect()
        assert given == []
    assert anywhere(client) == 1


def test_a_consumer_that_is_cancelled_takes_nothing_any_more(client: redis.Redis, redis_url: str) -> None:
    with consumer(redis_url) as (channel, given):
        wait(channel)
        (tag,) = channel._consumers
        channel.basic_cancel(tag)
        publish(redis_url, BODY)
        with pytest.raises(Empty):
            channel._brpop_read()
        assert given == []
    assert client.llen(WORK) == 1


def test_of_two_waiting_consumers_one_gets_the_message(client: redis.Redis, redis_url: str) -> None:
    with consumer(redis_url) as (first, given), consumer(redis_url) as (second, others):
        wait(first)
        wait(second)
        publish(redis_url, BODY)
        first._brpop_read()
        with pytest.raises(Empty):
            second._brpop_read()
        assert (len(given), len(others)) == (1, 0)
        given[0].ack()
    assert anywhere(client) == 0


@pytest.mark.parametrize(
    "text", [b"no JSON", b"[]", b'{"properties": 1}', b'{"properties": {"delivery_info": {}}}']
)
def test_an_element_that_is_no_message_of_kombu_does_not_block_the_next(
    client: redis.Redis, redis_url: str, text: bytes
) -> None:
    client.lpush(WORK, text)
    publish(redis_url, BODY)
    with consumer(redis_url) as (channel, given):
        with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
            turn(channel)
        turn(channel)
        assert [message.payload for message in given] == [BODY]
        given[0].ack()
