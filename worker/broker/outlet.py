"""Results and dead letters out, on either broker. Implements the ports `LiveEvents`, `Outlet` and `Aside`.

Final events and dead letters are offered until the broker has them, within the outlet's patience;
live events once.
"""

import random
from typing import Protocol

import kombu
import redis
import structlog

from worker import measures
from worker.broker.confirms import ConfirmingConnection, confirmed
from worker.broker.topology import (
    ASIDE_SECONDS,
    DEAD,
    MAIN_LANE,
    RESULTS,
    Lane,
    aside_arguments,
    quorum_arguments,
)
from worker.claims import Parcel
from worker.clock import Clock, Deadline
from worker.dead_letter import DeadLetter
from worker.events import CONTENT_TYPE, Event
from worker.ports import OutletUnavailable, Recorder, Waiter

log = structlog.get_logger(__name__)

_ENFORCES_CONSUMER_TIMEOUT = (3, 12)
_LIVE_PAUSE = 15.0
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0


class Sender(Protocol):
    """Puts one message somewhere and returns when the broker has it; raises OutletUnavailable."""

    def send_event(self, body: bytes, event_type: str, reply_to: str | None) -> None:
        """Send an event."""
        ...

    def send_dead_letter(self, body: bytes) -> None:
        """Send a dead letter."""
        ...

    def send_aside(self, body: bytes) -> None:
        """Have a job come back to corti.jobs after `ASIDE_SECONDS`."""
        ...


class PatientOutlet:
    """Offers messages to a sender until it takes them or patience ends.

    Args:
        sender: The broker's side.
        patience: Seconds a final event or a dead letter is offered.
        recorder: For metrics.
        clock: For time.
        waiter: For waiting.
    """

    def __init__(
        self, sender: Sender, *, patience: float, recorder: Recorder, clock: Clock, waiter: Waiter
    ) -> None:
        self._sender = sender
        self._patience = patience
        self._recorder = recorder
        self._clock = clock
        self._waiter = waiter
        self._live_again = Deadline(0.0)

    def publish(self, event: Event, reply_to: str | None) -> None:
        """See `worker.ports.LiveEvents`."""
        # Each try on a broker that does not answer costs seconds of a thread that has audio to feed.
        if not self._live_again.passed(self._clock.monotonic()):
            raise OutletUnavailable("the broker was away a moment ago")
        try:
            self._sender.send_event(event.to_json(), event.type, reply_to)
        except OutletUnavailable:
            self._live_again = Deadline.after(_LIVE_PAUSE, self._clock.monotonic())
            raise
        self._recorder.count(measures.EVENTS_PUBLISHED, type=event.type)

    def deliver(self, parcel: Parcel) -> None:
        """See `worker.ports.Outlet`."""
        letter = parcel.letter
        if letter is not None:
            self._insist(lambda: self._sender.send_dead_letter(letter))
        self._insist(lambda: self._sender.send_event(parcel.event, parcel.event_type, parcel.reply_to))
        self._recorder.count(measures.EVENTS_PUBLISHED, type=parcel.event_type)

    def set_aside(self, body: bytes) -> None:
        """See `worker.ports.Aside`."""
        self._sender.send_aside(body)

    def bury(self, letter: DeadLetter) -> None:
        """See `worker.ports.Outlet`."""
        body = letter.to_json()
        self._insist(lambda: self._sender.send_dead_letter(body))

    def _insist(self, send: "Send") -> None:
        deadline = Deadline.after(self._patience, self._clock.monotonic())
        wait = _FIRST_WAIT
        while True:
            try:
                send()
                return
            except OutletUnavailable as error:
                if deadline.passed(self._clock.monotonic()):
                    raise
                self._recorder.count(measures.PUBLISH_RETRIES)
                log.warning("publish_failed", error=str(error), next_in=round(wait, 2))
            self._waiter.wait(wait * (0.5 + random.random() / 2))  # noqa: S311  # jitter, not a secret
            wait = min(wait * 2, _LONGEST_WAIT)


class Send(Protocol):
    """One try."""

    def __call__(self) -> None:
        """Raises OutletUnavailable."""
        ...


class RabbitSender:
    """RabbitMQ: a topic exchange with the event type as routing key; confirms."""

    def __init__(self, url: str, lane: Lane = MAIN_LANE) -> None:
        self._lane = lane
        self._connection = ConfirmingConnection(url, self._declare)
        self._reply_queues: set[str] = set()
        self._warned = False

    def send_event(self, body: bytes, event_type: str, reply_to: str | None) -> None:
        """See `Sender`."""

        def publish(producer: kombu.Producer) -> None:
            if reply_to is None:
                exchange, routing_key = RESULTS, event_type
            else:
                exchange, routing_key = "", reply_to
                if reply_to not in self._reply_queues:
                    _declare_queue(producer.channel, reply_to)
                    self._reply_queues.add(reply_to)
            confirmed(producer, body, content_type=CONTENT_TYPE, exchange=exchange, routing_key=routing_key)

        self._connection.publish(publish)

    def send_dead_letter(self, body: bytes) -> None:
        """See `Sender`."""
        self._connection.publish(
            lambda producer: confirmed(
                producer, body, content_type="application/json", exchange="", routing_key=DEAD
            )
        )

    def send_aside(self, body: bytes) -> None:
        """See `Sender`."""
        self._connection.publish(
            lambda producer: confirmed(
                producer, body, content_type="application/json", exchange="", routing_key=self._lane.aside
            )
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _declare(self, connection: kombu.Connection) -> None:
        self._reply_queues.clear()
        self._look_at_version(connection)
        channel = connection.default_channel
        exchange = kombu.Exchange(RESULTS, type="topic", durable=True)
        queue = kombu.Queue(
            RESULTS, exchange, routing_key="#", durable=True, queue_arguments=quorum_arguments()
        )
        queue(channel).declare()
        _declare_queue(channel, DEAD)
        kombu.Queue(self._lane.aside, durable=True, queue_arguments=aside_arguments(self._lane))(
            channel
        ).declare()

    def _look_at_version(self, connection: kombu.Connection) -> None:
        version = str(connection.connection.server_properties.get("version", ""))
        if _version(version) < _ENFORCES_CONSUMER_TIMEOUT and not self._warned:
            self._warned = True
            # The node's own limit cannot be asked for over AMQP.
            log.warning(
                "consumer_timeout_not_enforced",
                rabbitmq=version,
                advice="this RabbitMQ ignores x-consumer-timeout and cuts jobs that outlast the node's "
                "consumer_timeout (30 min unless set): set it in advanced.config to the longest job",
            )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _declare_queue(channel: object, name: str) -> None:
    kombu.Queue(name, durable=True, queue_arguments=quorum_arguments())(channel).declare()


class RedisSender:
    """Redis: plain JSON list elements. The reply to LPUSH is the confirmation."""

    def __init__(self, client: redis.Redis, lane: Lane = MAIN_LANE) -> None:
        self._lane = lane
        self._client = client

    def send_event(self, body: bytes, event_type: str, reply_to: str | None) -> None:  # noqa: ARG002
        """See `Sender`."""
        self._push(reply_to or RESULTS, body)

    def send_dead_letter(self, body: bytes) -> None:
        """See `Sender`."""
        self._push(DEAD, body)

    def send_aside(self, body: bytes) -> None:
        """See `Sender`. The same job set aside twice is one entry: it need not come back twice."""
        try:
            seconds, microseconds = self._client.time()
            self._client.zadd(self._lane.aside, {body: seconds + microseconds / 1e6 + ASIDE_SECONDS})
        except redis.RedisError as error:
            raise OutletUnavailable(type(error).__name__) from None

    def _push(self, name: str, body: bytes) -> None:
        try:
            self._client.lpush(name, body)
        except redis.RedisError as error:
            raise OutletUnavailable(type(error).__name__) from None
