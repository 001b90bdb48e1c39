"""The interface of a door, and the door on RabbitMQ: it takes messages in, then acknowledges them."""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import kombu
import structlog

from worker.broker import envelope, rabbitmq
from worker.broker.declaring import declare_with_target
from worker.broker.topology import MAIN_LANE, Lane, jobs_arguments
from worker.concurrency.heartbeat import waiting
from worker.jobs.ingress_headers import NO_HEADERS, IngressHeaders
from worker.jobs.ports import BrokerUnavailable
from worker.jobs.undelivered import GivenUp
from worker.network.connection_faults import broker_fault, connection_fault
from worker.network.trust import Trust

log = structlog.get_logger(__name__)

#: Seconds for each look at the queue, and before another try after a failure.
POLL_SECONDS, PAUSE_SECONDS = 1, 1.0


class Rest(Protocol):
    """Called when the broker is out of reach."""

    def __call__(self, why: str | None = None) -> None:
        """`why`: the reason in words for `/readyz`, if it is known."""
        ...


class Takes(Protocol):
    """The ingress, as a door sees it."""

    def take(self, body: bytes, known: IngressHeaders = NO_HEADERS) -> None:
        """Take a message in. Returns when it is safe elsewhere; raises BrokerUnavailable."""
        ...


#: Ends the job of a message that the broker gave up, or raises BrokerUnavailable.
EndGivenUp = Callable[[GivenUp], None]


class Door(Protocol):
    """A loop that runs until told to stop."""

    def run(self, stop: threading.Event, beat: Callable[[], None], rest: Rest) -> None:
        """Take messages until `stop` is set.

        Args:
            stop: When set, finish the message at hand and return.
            beat: Called while the broker is there and messages can be taken.
            rest: Called when the broker is out of reach, and when the loop ends.
        """
        ...


class RabbitDoor:
    """Takes from a durable quorum queue with a consumer; acknowledges one by one.

    Args:
        url: The broker. Secret.
        ingress: Takes producers' messages.
        lane: Whose door it is.
        end_given_up: Takes messages that RabbitMQ gave up on the lane's queues; None leaves them there.
        trust: For TLS; None without.
    """

    def __init__(
        self,
        url: str,
        ingress: Takes,
        lane: Lane = MAIN_LANE,
        end_given_up: EndGivenUp | None = None,
        trust: Trust | None = None,
    ) -> None:
        self._trust = trust
        self._url = url
        self._lane = lane
        self._ingress = ingress
        self._end_given_up = end_given_up

    def run(self, stop: threading.Event, beat: Callable[[], None], rest: Rest) -> None:
        """See `Door`."""
        while not stop.is_set():
            connection = rabbitmq.connect(self._url, self._trust, connect_timeout=5)
            why = None
            try:
                self._consume(connection, stop, beat, rest)
            except rabbitmq.failures(connection) as error:
                why = broker_fault(error)
                log.warning("door_lost_rabbitmq", error=type(error).__name__, why=connection_fault(error))
            finally:
                # Closing returns an unacknowledged message to the queue, in its place.
                with suppress(Exception), waiting():  # a broken connection may break once more when closed
                    connection.close()
            rest(why)
            stop.wait(PAUSE_SECONDS)

    def _consume(
        self,
        connection: kombu.Connection,
        stop: threading.Event,
        beat: Callable[[], None],
        rest: Rest,
    ) -> None:
        def acknowledging(take: Callable[[Any], None]) -> Callable[[Any], None]:
            def on_message(message: Any) -> None:
                if self._passed_on(lambda: take(message), stop, rest):
                    channel.basic_ack(message.delivery_tag)

            return on_message

        with waiting():
            declare_with_target(connection, self._lane.jobs, jobs_arguments(self._lane))
            channel: Any = connection.channel()
        # Otherwise py-amqp decodes the body by the content encoding that a producer happened to name.
        channel.auto_decode = False
        # One message at a time: when the connection breaks, RabbitMQ counts one delivery more for each
        # message that waits here, and after DELIVERY_LIMIT deliveries it gives a message up.
        channel.basic_qos(0, 1, False)
        # Not kombu's own consumer: it decompresses a body whose headers name a compression, and breaks
        # if the body is not compressed.
        channel.basic_consume(self._lane.jobs, callback=acknowledging(self._take))
        if self._end_given_up is not None:
            end = partial(self._take_given_up, self._end_given_up)
            channel.basic_consume(self._lane.undelivered, callback=acknowledging(end))
        while not stop.is_set():
            beat()
            with suppress(TimeoutError):
                connection.drain_events(timeout=POLL_SECONDS)

    def _take(self, message: Any) -> None:
        known = envelope.set_aside(message.headers, self._lane.aside)
        self._ingress.take(bytes(message.body or b""), known)

    def _take_given_up(self, end: EndGivenUp, message: Any) -> None:
        body = bytes(message.body or b"")
        queue, why = envelope.last_death(message.headers) or (self._lane.undelivered, None)
        headers = envelope.ingress_headers(message.headers) if queue == self._lane.work else NO_HEADERS
        end(GivenUp(body, envelope.job_in(body), queue, why, headers))

    def _passed_on(self, take: Callable[[], None], stop: threading.Event, rest: Rest) -> bool:
        """Offer a message until it is taken; False when the door stops before that."""
        while True:
            try:
                take()
            except BrokerUnavailable as error:
                # The message stays unacknowledged here: handing it back would count as a delivery.
                log.warning("door_cannot_pass_on", error=str(error))
                rest()
                if stop.wait(PAUSE_SECONDS):
                    return False
            else:
                return True
