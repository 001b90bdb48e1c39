"""The door's shells: they bring producers' messages to the intake and acknowledge what it took."""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol
from uuid import uuid4

import kombu
import redis
import structlog
from kombu.exceptions import OperationalError

from worker.arrival import UNKNOWN, Arrival
from worker.broker import envelope
from worker.broker.declaring import declare_with_target
from worker.broker.door_scripts import COME_BACK, RECLAIM
from worker.broker.topology import MAIN_LANE, Lane, jobs_arguments, keepalive
from worker.clock import Clock, Deadline
from worker.heartbeat import waiting
from worker.ports import OutletUnavailable
from worker.undelivered import GivenUp

log = structlog.get_logger(__name__)

ALIVE_SECONDS = 30
_SIGN_SECONDS = 5.0
_POLL_SECONDS = 1
_PAUSE_SECONDS = 1.0
#: How long after the last job was seen aside the door still asks what is known of those that come. They come
#: back after seconds, to the front of the queue; an hour is for a door that could not pass on.
_ASK_SECONDS = 3600.0


class Takes(Protocol):
    """The intake."""

    def take(self, body: bytes, known: Arrival = UNKNOWN) -> None:
        """Returns when the message is safe elsewhere; raises OutletUnavailable."""
        ...


#: Ends the job of a message that the broker gave up, or raises OutletUnavailable.
EndGivenUp = Callable[[GivenUp], None]


class Door(Protocol):
    """A loop that runs until told to stop."""

    def run(self, stop: threading.Event, beat: Callable[[], None], rest: Callable[[], None]) -> None:
        """Take messages until `stop` is set.

        Args:
            stop: When set, finish the message at hand and return.
            beat: Called while the broker is there and messages can be taken.
            rest: Called when the broker is out of reach.
        """
        ...


class RedisDoor:
    """Takes from a plain list with BLMOVE, so that a message is always in one list or another."""

    def __init__(self, client: redis.Redis, intake: Takes, clock: Clock, lane: Lane = MAIN_LANE) -> None:
        self._client = client
        self._lane = lane
        self._jobs = lane.jobs
        self._intake = intake
        self._clock = clock
        self._next_sign = Deadline(0.0)
        self._asks_until = Deadline.after(_ASK_SECONDS, clock.monotonic())
        self._name = uuid4().hex
        self._taken = f"{self._jobs}:taken:{self._name}"
        self._reclaim = client.register_script(RECLAIM)
        self._come_back = client.register_script(COME_BACK)

    def run(self, stop: threading.Event, beat: Callable[[], None], rest: Callable[[], None]) -> None:
        """See `Door`."""
        while not stop.is_set():
            try:
                with waiting():
                    self._sign_of_life()
                beat()
                with waiting():
                    body: Any = self._client.blmove(self._jobs, self._taken, _POLL_SECONDS, "RIGHT", "LEFT")
                if body is not None:
                    self._handle(body)
            except OutletUnavailable as error:
                log.warning("door_cannot_pass_on", error=str(error))
                self._next_sign = Deadline(0.0)
                stop.wait(_PAUSE_SECONDS)
            except redis.RedisError as error:
                self._next_sign = Deadline(0.0)
                rest()
                log.warning("door_lost_redis", error=type(error).__name__)
                stop.wait(_PAUSE_SECONDS)
        rest()
        with suppress(redis.RedisError):
            self._put_back()
            self._client.delete(f"{self._jobs}:door:{self._name}")
            self._client.srem(f"{self._jobs}:doors", self._name)

    def _handle(self, body: Any) -> None:
        if self._asks_until.passed(self._clock.monotonic()):
            self._intake.take(body)
            with waiting():
                self._client.lrem(self._taken, 1, body)
            return
        key = envelope.known_key(self._lane, body)
        with waiting():
            stored: Any = self._client.get(key)
        self._intake.take(body, envelope.known(stored))
        with waiting(), self._client.pipeline() as pipe:
            pipe.lrem(self._taken, 1, body)
            pipe.delete(key)
            pipe.execute()

    def _put_back(self) -> None:
        while self._client.lmove(self._taken, self._jobs, "RIGHT", "RIGHT") is not None:
            pass

    def _sign_of_life(self) -> None:
        now = self._clock.monotonic()
        if not self._next_sign.passed(now):
            return
        self._next_sign = Deadline.after(_SIGN_SECONDS, now)
        with self._client.pipeline(transaction=False) as pipe:
            pipe.set(f"{self._jobs}:door:{self._name}", 1, ex=ALIVE_SECONDS)
            pipe.sadd(f"{self._jobs}:doors", self._name)
            pipe.zcard(self._lane.aside)
            pipe.smembers(f"{self._jobs}:doors")
            *_, aside, doors = pipe.execute()
        if aside:
            self._asks_until = Deadline.after(_ASK_SECONDS, now)
        self._come_back(keys=[self._lane.aside, self._jobs])
        # What this door itself still holds was taken before a failure: it comes first again.
        self._put_back()
        for door in (name.decode() for name in doors if name.decode() != self._name):
            keys = [
                f"{self._jobs}:taken:{door}",
                self._jobs,
                f"{self._jobs}:door:{door}",
                f"{self._jobs}:doors",
            ]
            moved = self._reclaim(keys=keys, args=[door])
            if moved:
                log.info("door_reclaimed", messages=moved)


class RabbitDoor:
    """Takes from a durable quorum queue with a consumer; acknowledges one by one.

    Args:
        url: The broker. Secret.
        intake: Takes producers' messages.
        lane: Whose door it is.
        end_given_up: For what RabbitMQ gave up on the lane's queues; None leaves it where it is.
    """

    def __init__(
        self, url: str, intake: Takes, lane: Lane = MAIN_LANE, end_given_up: EndGivenUp | None = None
    ) -> None:
        self._url = url
        self._lane = lane
        self._intake = intake
        self._end_given_up = end_given_up

    def run(self, stop: threading.Event, beat: Callable[[], None], rest: Callable[[], None]) -> None:
        """See `Door`."""
        while not stop.is_set():
            connection = kombu.Connection(
                self._url, heartbeat=0, connect_timeout=5, transport_options={"socket_settings": keepalive()}
            )
            failures = (
                *connection.connection_errors,
                *connection.channel_errors,
                OperationalError,
                OSError,
            )
            try:
                self._consume(connection, stop, beat, rest)
            except failures as error:
                log.warning("door_lost_rabbitmq", error=type(error).__name__)
            finally:
                # Closing returns an unacknowledged message to the queue, in its place.
                with suppress(Exception), waiting():  # a broken connection may break once more when closed
                    connection.close()
            rest()
            stop.wait(_PAUSE_SECONDS)

    def _consume(
        self,
        connection: kombu.Connection,
        stop: threading.Event,
        beat: Callable[[], None],
        rest: Callable[[], None],
    ) -> None:
        def acknowledging(take: Callable[[Any], None]) -> Callable[[Any], None]:
            def on_message(message: Any) -> None:
                if self._passed_on(lambda: take(message), stop, rest):
                    channel.basic_ack(message.delivery_tag)

            return on_message

        with waiting():
            declare_with_target(connection, self._lane.jobs, jobs_arguments(self._lane))
            channel: Any = connection.channel()
        # Else py-amqp decodes the body by the content encoding that a producer happened to name.
        channel.auto_decode = False
        # One at a time: whatever waits here when the connection breaks counts one delivery more, and
        # after DELIVERY_LIMIT of them RabbitMQ gives it up.
        channel.basic_qos(0, 1, False)
        # Not kombu's own consumer: it decompresses a body whose headers name a compression, and breaks
        # on one that is not compressed.
        channel.basic_consume(self._lane.jobs, callback=acknowledging(self._take))
        if self._end_given_up is not None:
            end = partial(self._take_given_up, self._end_given_up)
            channel.basic_consume(self._lane.undelivered, callback=acknowledging(end))
        while not stop.is_set():
            beat()
            with suppress(TimeoutError):
                connection.drain_events(timeout=_POLL_SECONDS)

    def _take(self, message: Any) -> None:
        known = envelope.set_aside(message.headers, self._lane.aside)
        self._intake.take(bytes(message.body or b""), known)

    def _take_given_up(self, end: EndGivenUp, message: Any) -> None:
        body = bytes(message.body or b"")
        queue, why = envelope.last_death(message.headers) or (self._lane.undelivered, None)
        arrival = envelope.arrival(message.headers) if queue == self._lane.work else UNKNOWN
        end(GivenUp(body, envelope.job_in(body), queue, why, arrival))

    def _passed_on(self, take: Callable[[], None], stop: threading.Event, rest: Callable[[], None]) -> bool:
        """Offer a message until it is taken; False when the door stops before that."""
        while True:
            try:
                take()
            except OutletUnavailable as error:
                # The message stays in hand: to give it back would count as a delivery.
                log.warning("door_cannot_pass_on", error=str(error))
                rest()
                if stop.wait(_PAUSE_SECONDS):
                    return False
            else:
                return True
