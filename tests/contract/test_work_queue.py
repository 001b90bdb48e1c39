"""Celery's queue: a job is put on it, and its content shows in the body only; or the caller gets an error."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kombu
import kombu.pools
import pytest
import redis

from ops.lib.servers import RedisServer
from tests.contract.relay import Relay
from worker.broker.envelope import ingress_headers, noted
from worker.broker.redis_visibility import transport_options
from worker.broker.topology import ACCEPTED_AT, MAIN_LANE, WORK, work_arguments
from worker.broker.work_queue import TASK, CeleryWorkQueue, make_celery
from worker.jobs.ingress_headers import IngressHeaders
from worker.jobs.ports import BrokerUnavailable

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_NOW = datetime(2026, 5, 4, 10, 30, 0, 125_000, tzinfo=UTC)
_NEW = IngressHeaders(_NOW)
_BODY = '{"job_id": "job-1", "patient": {"name": "Ada Lovelace, née Byron"}}'


@contextmanager
def work_queue(url: str) -> Iterator[CeleryWorkQueue]:
    """A work queue, closed afterwards."""
    on_rabbit = not url.startswith("redis")
    app = make_celery(url, redis_options=None if on_rabbit else transport_options(60), consumer_timeout=3600)
    made = CeleryWorkQueue(app, url, on_rabbit=on_rabbit)
    try:
        yield made
    finally:
        made.close()
        app.close()
        # Celery's connection pools belong to the process; the next application must get new ones.
        kombu.pools.reset()


@dataclass
class Found:
    """A message on corti.work."""

    body: Any
    headers: dict[str, Any]
    properties: dict[str, Any]


def found_on(url: str) -> list[Found]:
    """Every message that waits on corti.work, oldest first."""
    if url.startswith("redis"):
        with redis.Redis.from_url(url) as client:
            elements: Any = client.lrange(WORK, 0, -1)
        envelopes = [json.loads(element) for element in reversed(elements)]
        return [
            Found(json.loads(base64.b64decode(one["body"])), one["headers"], one["properties"])
            for one in envelopes
        ]
    found = []
    with kombu.Connection(url) as connection:
        while (message := connection.default_channel.basic_get(WORK, no_ack=True)) is not None:
            properties = dict(message.properties)
            found.append(Found(json.loads(message.body), properties.pop("application_headers"), properties))
    return found


def test_a_job_that_was_put_is_there_for_the_task(broker_url: str) -> None:
    with work_queue(broker_url) as work:
        for number in range(3):
            work.put(f'{{"number": {number}}}'.encode(), _NEW)
        work.put(_BODY.encode(), _NEW)
    messages = found_on(broker_url)
    assert [message.body[0][0] for message in messages[:3]] == [f'{{"number": {n}}}' for n in range(3)]
    assert messages[3].body[0] == [_BODY]
    assert {message.headers["task"] for message in messages} == {TASK}


def test_headers_and_properties_show_nothing_of_the_job(broker_url: str) -> None:
    with work_queue(broker_url) as work:
        work.put(_BODY.encode(), _NEW)
    (message,) = found_on(broker_url)
    assert (message.headers["argsrepr"], message.headers["kwargsrepr"]) == ("<job>", "{}")
    shown = json.dumps([message.headers, message.properties], default=str, ensure_ascii=False)
    for secret in ("Ada", "Lovelace", "job-1", "patient"):
        assert secret not in shown


def test_the_time_of_acceptance_and_the_trace_travel_in_headers(broker_url: str) -> None:
    with work_queue(broker_url) as work:
        work.put(b"{}", IngressHeaders(_NOW, TRACEPARENT, broken=3))
        work.put(b"{}", _NEW)
    first, second = (ingress_headers(message.headers) for message in found_on(broker_url))
    assert (first, second) == (IngressHeaders(_NOW, TRACEPARENT, broken=3), _NEW)
    assert ingress_headers(noted(first)) == first


@pytest.mark.parametrize("at", ["soon", -1, 0, 1e300, 1 << 70, None, [1], {"a": 1}])
@pytest.mark.parametrize("traceparent", ["", "Ada Example", b"x", 7])
def test_headers_that_a_stranger_has_put_on_a_message_are_ignored(at: object, traceparent: object) -> None:
    assert ingress_headers({ACCEPTED_AT: at, "traceparent": traceparent}) == IngressHeaders()
    assert ingress_headers(None) == ingress_headers({}) == IngressHeaders()


def test_a_job_on_rabbitmq_is_persistent_and_its_queue_as_documented(rabbitmq_url: str) -> None:
    with work_queue(rabbitmq_url) as work:
        work.put(_BODY.encode(), _NEW)
    (message,) = found_on(rabbitmq_url)
    assert message.properties["delivery_mode"] == 2
    with kombu.Connection(rabbitmq_url) as connection:
        # RabbitMQ refuses a declaration with other arguments than the queue has.
        queue = kombu.Queue(WORK, durable=True, queue_arguments=work_arguments(MAIN_LANE, 3600))
        queue(connection.default_channel).declare()


def test_a_redis_that_is_away_is_reported_and_used_again_later(own_redis: RedisServer) -> None:
    with work_queue(own_redis.url) as work:
        work.put(b"{}", _NEW)
        own_redis.stop()
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            work.put(b"{}", _NEW)
        assert time.monotonic() - began < 5
        own_redis.start()
        work.put(_BODY.encode(), _NEW)
    assert [message.body[0] for message in found_on(own_redis.url)] == [[_BODY]]


def test_a_redis_without_memory_is_reported(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url) as client, work_queue(own_redis.url) as work:
        work.put(b"{}", _NEW)
        client.config_set("maxmemory", "1")
        with pytest.raises(BrokerUnavailable):
            work.put(b"{}", _NEW)
    assert len(found_on(own_redis.url)) == 1


def test_a_rabbitmq_that_is_away_is_reported_and_used_again_later(rabbitmq_relay: Relay) -> None:
    with work_queue(rabbitmq_relay.url) as work:
        work.put(b"{}", _NEW)
        rabbitmq_relay.cut()
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            work.put(b"{}", _NEW)
        assert time.monotonic() - began < 5
        rabbitmq_relay.mend()
        work.put(_BODY.encode(), _NEW)
    assert [message.body[0] for message in found_on(rabbitmq_relay.url)] == [["{}"], [_BODY]]


def test_a_broker_that_was_never_there_is_reported() -> None:
    with work_queue("amqp://guest:guest@127.0.0.1:1//") as work, pytest.raises(BrokerUnavailable) as failure:
        work.put(_BODY.encode(), _NEW)
    assert "guest" not in str(failure.value)


def test_a_queue_that_was_deleted_is_made_anew(rabbitmq_url: str) -> None:
    with work_queue(rabbitmq_url) as work:
        work.put(b"{}", _NEW)
        with kombu.Connection(rabbitmq_url) as connection:
            connection.default_channel.queue_delete(WORK)
        work.put(_BODY.encode(), _NEW)
    assert [message.body[0] for message in found_on(rabbitmq_url)] == [[_BODY]]
