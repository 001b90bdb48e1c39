"""Sends one message, on either broker: when the call returns, the broker has confirmed it.

A queue that a job names in `reply_to` belongs to its consumer. Events are published to it as it is. It is
made only if RabbitMQ has no such queue, and then it expires when nobody uses it. Whatever is wrong with the
queue concerns that job only (`ReplyRefused`): the connection, which all jobs share, is kept.

Redis keys:

================================  ======  ==============================================================
key                               type    content and life
================================  ======  ==============================================================
``corti.jobs.aside``              zset    jobs set aside, with the time (s) to come back
``corti.jobs.aside:known:<hash>`` string  headers of one of them, by the SHA-256 of its body; gone when a door
                                          has taken the job, or after a day
================================  ======  ==============================================================
"""

import json
from typing import Any, Protocol

import kombu
import redis
import structlog
from amqp.exceptions import ChannelError, MessageNacked, PreconditionFailed
from redis.exceptions import NoPermissionError

from worker.broker import envelope
from worker.broker.confirms import ConfirmingConnection, confirmed
from worker.broker.declaring import declare
from worker.broker.topology import (
    ASIDE_SECONDS,
    DEAD,
    MAIN_LANE,
    RESULTS,
    Lane,
    aside_arguments,
    quorum_arguments,
    reply_arguments,
)
from worker.contract.events import CONTENT_TYPE
from worker.jobs.ingress_headers import IngressHeaders
from worker.jobs.ports import BrokerUnavailable, ReplyRefused
from worker.network.trust import Trust

log = structlog.get_logger(__name__)

_ENFORCES_CONSUMER_TIMEOUT = (3, 12)


class Sender(Protocol):
    """Puts one message somewhere and returns when the broker has it; raises BrokerUnavailable."""

    def send_event(self, body: bytes, event_type: str, reply_to: str | None) -> None:
        """Send an event; raises ReplyRefused when only the queue `reply_to` does not take it."""
        ...

    def send_dead_letter(self, body: bytes, letter_id: str) -> None:
        """Send a dead letter."""
        ...

    def send_aside(self, body: bytes, headers: IngressHeaders) -> None:
        """Have a job come back to corti.jobs after `ASIDE_SECONDS`, with its headers."""
        ...


class RabbitSender:
    """RabbitMQ: events go to a topic exchange, with their type as routing key. Publishes are confirmed."""

    def __init__(self, url: str, lane: Lane = MAIN_LANE, trust: Trust | None = None) -> None:
        self._lane = lane
        self._connection = ConfirmingConnection(url, self._declare, trust)
        self._warned = False

    def send_event(self, body: bytes, event_type: str, reply_to: str | None) -> None:
        """See `Sender`."""

        def publish(producer: kombu.Producer) -> None:
            if reply_to is None:
                confirmed(producer, body, content_type=CONTENT_TYPE, exchange=RESULTS, routing_key=event_type)
            else:
                self._reply(producer, body, reply_to)

        self._connection.publish(publish)

    def send_dead_letter(self, body: bytes, letter_id: str) -> None:
        """See `Sender`."""
        self._send(body, DEAD, message_id=letter_id)

    def send_aside(self, body: bytes, headers: IngressHeaders) -> None:
        """See `Sender`."""
        self._send(body, self._lane.aside, headers=envelope.noted(headers))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, body: bytes, queue: str, **properties: Any) -> None:
        self._connection.publish(
            lambda producer: confirmed(
                producer, body, content_type="application/json", exchange="", routing_key=queue, **properties
            )
        )

    def _reply(self, producer: kombu.Producer, body: bytes, queue: str) -> None:
        try:
            # Publish before declaring: RabbitMQ's answer says, every time, whether the queue exists.
            for attempt in range(2):
                confirmed(producer, body, content_type=CONTENT_TYPE, exchange="", routing_key=queue)
                if self._connection.routed():
                    return
                if attempt == 0:
                    _make_reply_queue(producer.channel.connection, queue)
        except MessageNacked:
            raise ReplyRefused("the reply queue is full, or is being made") from None
        raise ReplyRefused("the reply queue does not exist and cannot be made")

    def _declare(self, connection: kombu.Connection) -> None:
        self._look_at_version(connection)
        channel = connection.default_channel
        kombu.Exchange(RESULTS, type="topic", durable=True)(channel).declare()
        for name in RESULTS, DEAD:
            declare(connection, name, quorum_arguments())
        channel.queue_bind(RESULTS, RESULTS, "#")
        # With other arguments jobs would not come back from this queue: here a refusal must be an error.
        channel.queue_declare(
            self._lane.aside, durable=True, auto_delete=False, arguments=aside_arguments(self._lane)
        )

    def _look_at_version(self, connection: kombu.Connection) -> None:
        version = str(connection.connection.server_properties.get("version", ""))
        if _version(version) < _ENFORCES_CONSUMER_TIMEOUT and not self._warned:
            self._warned = True
            # The node's own limit cannot be asked for over AMQP.
            log.warning(
                "consumer_timeout_not_enforced",
                rabbitmq=version,
                advice="this RabbitMQ ignores x-consumer-timeout, and interrupts jobs that take longer than "
                "the node's consumer_timeout (30 min unless set): set consumer_timeout in advanced.config to "
                "the time that the longest job takes",
            )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _make_reply_queue(connection: Any, name: str) -> None:
    channel = connection.channel()
    try:
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=reply_arguments())
    except PreconditionFailed:
        return  # its consumer was quicker
    except ChannelError as error:
        raise ReplyRefused(type(error).__name__) from None
    channel.close()


class RedisSender:
    """Redis: plain JSON list elements. The reply to LPUSH is the confirmation."""

    def __init__(self, client: redis.Redis, lane: Lane = MAIN_LANE) -> None:
        self._lane = lane
        self._client = client

    def send_event(self, body: bytes, event_type: str, reply_to: str | None) -> None:  # noqa: ARG002
        """See `Sender`."""
        try:
            self._client.lpush(reply_to or RESULTS, body)
        except redis.RedisError as error:
            if reply_to is not None and _is_the_keys_fault(error):
                raise ReplyRefused("the reply queue is no list, or may not be written") from None
            raise BrokerUnavailable(type(error).__name__) from None

    def send_dead_letter(self, body: bytes, letter_id: str) -> None:  # noqa: ARG002  # it is in the body, too
        """See `Sender`."""
        try:
            self._client.lpush(DEAD, body)
        except redis.RedisError as error:
            raise BrokerUnavailable(type(error).__name__) from None

    def send_aside(self, body: bytes, headers: IngressHeaders) -> None:
        """See `Sender`. The same job set aside twice is one entry: it need not come back twice."""
        known = envelope.noted(headers)
        try:
            seconds, microseconds = self._client.time()
            with self._client.pipeline() as pipe:
                if known:
                    # Beside the entry, not in it: workers of the first versions read entries as bare jobs.
                    pipe.set(
                        envelope.known_key(self._lane, body),
                        json.dumps(known),
                        ex=envelope.KNOWN_SECONDS,
                        nx=True,
                    )
                pipe.zadd(self._lane.aside, {body: seconds + microseconds / 1e6 + ASIDE_SECONDS})
                pipe.execute()
        except redis.RedisError as error:
            raise BrokerUnavailable(type(error).__name__) from None


def _is_the_keys_fault(error: redis.RedisError) -> bool:
    wrong_type = isinstance(error, redis.ResponseError) and str(error).startswith("WRONGTYPE")
    return wrong_type or isinstance(error, NoPermissionError)
