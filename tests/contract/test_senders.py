"""The `Sender` port (the fake, Redis and RabbitMQ): messages arrive in order and unchanged."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import kombu
import pytest
import redis

from ops.lib import queues
from tests.contract.relay import Relay
from tests.fakes import FakeClock, FakeRecorder, FakeSender
from worker.broker.publisher import PatientPublisher
from worker.broker.senders import RabbitSender, RedisSender, Sender
from worker.broker.topology import DEAD, RESULTS, reply_arguments
from worker.contract.events import COMPLETED, PROGRESS, SEGMENTS, Event, Progress
from worker.jobs.claims import OutboxEntry
from worker.jobs.ports import BrokerUnavailable, ReplyRefused

_REPLIES = "corti.results.clinic-7"


class Take(Protocol):
    """Takes the oldest message of a queue."""

    def __call__(self, queue: str) -> bytes | None: ...


@pytest.fixture(params=["fake", "redis", "rabbitmq"])
def post(request: pytest.FixtureRequest) -> Iterator[tuple[Sender, Take]]:
    """A sender, and a function that takes messages from its queues."""
    with ExitStack() as stack:
        if request.param == "fake":
            fake = FakeSender()
            yield fake, lambda queue: fake.queues[queue].pop(0) if fake.queues[queue] else None
            return
        url: str = request.getfixturevalue(f"{request.param}_url")
        consumer = stack.enter_context(queues.connect(url))
        if request.param == "redis":
            yield RedisSender(stack.enter_context(redis.Redis.from_url(url))), lambda q: consumer.take(q, 2)
        else:
            sender = RabbitSender(url)
            stack.callback(sender.close)
            yield sender, lambda queue: consumer.take(queue, 2)


def test_events_arrive_in_order_and_unchanged(post: tuple[Sender, Take]) -> None:
    sender, take = post
    bodies = [f'{{"number": {number}, "name": "Ärztin"}}'.encode() for number in range(30)]
    for number, body in enumerate(bodies):
        sender.send_event(body, (SEGMENTS, PROGRESS, COMPLETED)[number % 3], None)
    assert [take(RESULTS) for _ in bodies] == bodies


def test_an_answer_goes_where_the_job_wants_it_and_nowhere_else(post: tuple[Sender, Take]) -> None:
    sender, take = post
    for number in range(3):
        sender.send_event(b"%d" % number, COMPLETED, _REPLIES)
    sender.send_event(b"general", COMPLETED, None)
    assert [take(_REPLIES) for _ in range(3)] == [b"0", b"1", b"2"]
    assert take(RESULTS) == b"general"


def test_dead_letters_have_a_queue_of_their_own(post: tuple[Sender, Take]) -> None:
    sender, take = post
    sender.send_dead_letter(b'{"reason": "invalid_job"}', "id-1")
    sender.send_event(b"event", COMPLETED, None)
    assert take(DEAD) == b'{"reason": "invalid_job"}'
    assert take(RESULTS) == b"event"


def test_a_message_of_a_megabyte_arrives(post: tuple[Sender, Take]) -> None:
    sender, take = post
    sender.send_event(b"x" * 1_500_000, COMPLETED, None)
    assert take(RESULTS) == b"x" * 1_500_000


# -- RabbitMQ --------------------------------------------------------------------------------


def test_rabbitmq_gets_cloudevents_that_survive_its_restart(rabbitmq_url: str) -> None:
    sender = RabbitSender(rabbitmq_url)
    sender.send_event(b'{"type": "result"}', COMPLETED, None)
    sender.send_dead_letter(b"{}", "id-1")
    connection = sender._connection._connection
    (event, letter) = (connection.default_channel.basic_get(name, no_ack=True) for name in (RESULTS, DEAD))
    sender.close()
    assert event.properties["content_type"] == "application/cloudevents+json"
    assert event.properties["content_encoding"] == "utf-8"
    assert event.delivery_info["routing_key"] == COMPLETED
    assert letter.properties["content_type"] == "application/json"
    assert letter.properties["message_id"] == "id-1"
    assert {message.properties["delivery_mode"] for message in (event, letter)} == {2}


def test_consumers_may_bind_queues_of_their_own_by_event_type(rabbitmq_url: str) -> None:
    sender = RabbitSender(rabbitmq_url)
    sender.send_event(b"before", COMPLETED, None)
    channel = sender._connection._connection.default_channel
    channel.queue_declare("mine", durable=True, auto_delete=False)
    channel.queue_bind("mine", RESULTS, "corti.job.#")
    for event_type in (PROGRESS, "corti.facts.updated.v1", COMPLETED):
        sender.send_event(event_type.encode(), event_type, None)
    mine = [channel.basic_get("mine", no_ack=True) for _ in range(3)]
    sender.close()
    assert [message.body if message else None for message in mine] == [PROGRESS, COMPLETED, None]


@pytest.mark.parametrize("lost", ["queue", "exchange", "dead", "reply_to"])
def test_a_queue_that_was_deleted_costs_no_message(rabbitmq_url: str, lost: str) -> None:
    sender = RabbitSender(rabbitmq_url)
    reply_to = "corti.results.a" if lost == "reply_to" else None

    def send(body: bytes) -> None:
        if lost == "dead":
            sender.send_dead_letter(body, "id-1")
        else:
            sender.send_event(body, COMPLETED, reply_to)

    send(b"before")
    with queues.connect(rabbitmq_url) as consumer:
        assert isinstance(consumer, queues.RabbitQueues)
        if lost == "exchange":
            consumer._channel.exchange_delete(RESULTS)
        else:
            consumer._channel.queue_delete({"queue": RESULTS, "dead": DEAD, "reply_to": reply_to}[lost])
    send(b"after")
    sender.close()
    with queues.connect(rabbitmq_url) as consumer:
        name = {"dead": DEAD, "reply_to": "corti.results.a"}.get(lost, RESULTS)
        found = [consumer.take(name, 0.3), consumer.take(name, 0.1)]
    assert b"after" in found


def test_a_connection_that_broke_between_two_events_is_made_anew(rabbitmq_relay: Relay) -> None:
    sender = RabbitSender(rabbitmq_relay.url)
    for number in range(4):
        sender.send_event(b"%d" % number, COMPLETED, None)
        rabbitmq_relay.break_connections()
    sender.close()
    with queues.connect(rabbitmq_relay.url) as consumer:
        assert [consumer.take(RESULTS, 2) for _ in range(4)] == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "arguments", [{}, {"x-max-length": 100, "x-queue-type": "classic"}], ids=["plain", "own"]
)
def test_a_reply_queue_that_a_consumer_declared_in_its_own_way_is_used_as_it_is(
    rabbitmq_url: str, arguments: dict[str, object]
) -> None:
    with kombu.Connection(rabbitmq_url) as consumer:
        consumer.default_channel.queue_declare(_REPLIES, durable=True, auto_delete=False, arguments=arguments)
        sender = RabbitSender(rabbitmq_url)
        sender.send_event(b"to the clinic", COMPLETED, _REPLIES)
        sender.send_event(b"to all", COMPLETED, None)
        sender.close()
        found = [consumer.default_channel.basic_get(name, no_ack=True) for name in (_REPLIES, RESULTS)]
    assert [message.body if message else None for message in found] == ["to the clinic", "to all"]


def test_a_reply_queue_that_the_worker_declares_expires_when_unused(rabbitmq_url: str) -> None:
    sender = RabbitSender(rabbitmq_url)
    sender.send_event(b"to the clinic", COMPLETED, _REPLIES)
    sender.close()
    with kombu.Connection(rabbitmq_url) as connection:
        # RabbitMQ refuses a declaration with other arguments than the queue has.
        connection.default_channel.queue_declare(
            _REPLIES, durable=True, auto_delete=False, arguments=reply_arguments()
        )
        assert 7 * 86_400_000 <= int(str(reply_arguments()["x-expires"])) < 2**32


def test_a_reply_queue_that_refuses_does_not_hold_up_other_results(
    rabbitmq_url: str, clock: FakeClock, recorder: FakeRecorder
) -> None:
    """The clinic's queue is limited and full, because the clinic does not read it."""
    with kombu.Connection(rabbitmq_url) as consumer:
        full = {"x-max-length": 1, "x-overflow": "reject-publish"}
        consumer.default_channel.queue_declare(_REPLIES, durable=True, auto_delete=False, arguments=full)
        sender = RabbitSender(rabbitmq_url)
        sender.send_event(b"first", COMPLETED, _REPLIES)
        connection = sender._connection._connection.connection
        publisher = PatientPublisher(sender, patience=300, recorder=recorder, clock=clock, waiter=clock)
        live, mine = (
            Event(
                id=f"job-1/{kind}",
                type=kind,
                subject="job-1",
                time=clock.wall(),
                data=Progress(audio_seconds=1, total_seconds=None),
            )
            for kind in (PROGRESS, COMPLETED)
        )
        for _ in range(2):
            with pytest.raises(BrokerUnavailable):
                publisher.publish(live, _REPLIES)
            publisher.publish(live, None)
        began = clock.monotonic()
        with pytest.raises(ReplyRefused):
            publisher.deliver(OutboxEntry("job-1", "completed", COMPLETED, mine.to_json(), _REPLIES, None))
        assert clock.monotonic() - began < 30
        assert sender._connection._connection.connection is connection, "the sender made a new connection"
        sender.close()


def test_a_reply_queue_that_may_not_be_made_is_a_fault_of_its_job_alone(rabbitmq_url: str) -> None:
    sender = RabbitSender(rabbitmq_url)
    sender.send_event(b"1", COMPLETED, None)
    connection = sender._connection._connection.connection
    with pytest.raises(ReplyRefused):
        sender.send_event(b"2", COMPLETED, "amq.not-for-clients")
    sender.send_event(b"3", COMPLETED, None)
    assert sender._connection._connection.connection is connection
    sender.close()
    with queues.connect(rabbitmq_url) as consumer:
        assert [consumer.take(RESULTS, 2) for _ in range(2)] == [b"1", b"3"]


def test_a_reply_queue_that_expired_is_made_again_on_the_same_connection(rabbitmq_url: str) -> None:
    sender = RabbitSender(rabbitmq_url)
    sender.send_event(b"before", COMPLETED, _REPLIES)
    connection = sender._connection._connection.connection
    with kombu.Connection(rabbitmq_url) as operator:
        operator.default_channel.queue_delete(_REPLIES)
    sender.send_event(b"after", COMPLETED, _REPLIES)
    sender.send_event(b"and on", COMPLETED, _REPLIES)
    assert sender._connection._connection.connection is connection
    sender.close()
    with queues.connect(rabbitmq_url) as consumer:
        assert isinstance(consumer, queues.RabbitQueues)
        got = [consumer._channel.basic_get(_REPLIES, no_ack=True) for _ in range(3)]
    assert [message and bytes(message.body) for message in got] == [b"after", b"and on", None]


@pytest.mark.parametrize("queue", [RESULTS, DEAD])
def test_a_queue_of_results_that_a_consumer_declared_in_its_own_way_is_used_as_it_is(
    rabbitmq_url: str, queue: str
) -> None:
    with kombu.Connection(rabbitmq_url) as consumer:
        consumer.default_channel.queue_declare(queue, durable=True, auto_delete=False)
    sender = RabbitSender(rabbitmq_url)
    sender.send_event(b"event", COMPLETED, None)
    sender.send_dead_letter(b"letter", "id-1")
    sender.close()
    with kombu.Connection(rabbitmq_url) as consumer:
        found = [consumer.default_channel.basic_get(name, no_ack=True) for name in (RESULTS, DEAD)]
    assert [message.body if message else None for message in found] == ["event", "letter"]


# -- Redis -----------------------------------------------------------------------------------


def test_a_reply_queue_of_another_type_is_a_fault_of_its_job_alone(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(_REPLIES, "not a list")
        sender = RedisSender(client)
        with pytest.raises(ReplyRefused):
            sender.send_event(b"1", COMPLETED, _REPLIES)
        sender.send_event(b"2", COMPLETED, None)
        assert client.lrange(RESULTS, 0, -1) == [b"2"]
