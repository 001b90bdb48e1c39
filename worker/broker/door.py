"""The door's shells: they bring producers' messages to the intake and acknowledge what it took.

Redis keys:

============================  ======  ===============================================================
key                           type    content and life
============================  ======  ===============================================================
``corti.jobs``                list    producers' messages; newest left
``corti.jobs:taken:<door>``   list    the message that door is handling; gone when it is handled
``corti.jobs:door:<door>``    string  sign of life of that door; expires after `ALIVE_SECONDS`
``corti.jobs:doors``          set     names of all doors that may hold a message
============================  ======  ===============================================================
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol
from uuid import uuid4

import kombu
import redis
import structlog
from kombu.exceptions import OperationalError

from worker.broker.topology import JOBS, jobs_arguments, keepalive
from worker.clock import Clock, Deadline
from worker.ports import OutletUnavailable

log = structlog.get_logger(__name__)

ALIVE_SECONDS = 30
_SIGN_SECONDS = 5.0
_POLL_SECONDS = 1
_PAUSE_SECONDS = 1.0

#: Gives back what a dead door had taken, oldest where it came from: next in line.
_RECLAIM = """
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local moved = 0
while redis.call('LMOVE', KEYS[1], KEYS[2], 'RIGHT', 'RIGHT') do moved = moved + 1 end
redis.call('SREM', KEYS[4], ARGV[1])
return moved
"""


class Takes(Protocol):
    """The intake."""

    def take(self, body: bytes) -> None:
        """Returns when the message is safe elsewhere; raises OutletUnavailable."""
        ...


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

    def __init__(self, client: redis.Redis, intake: Takes, clock: Clock) -> None:
        self._client = client
        self._intake = intake
        self._clock = clock
        self._next_sign = Deadline(0.0)
        self._name = uuid4().hex
        self._taken = f"{JOBS}:taken:{self._name}"
        self._reclaim = client.register_script(_RECLAIM)

    def run(self, stop: threading.Event, beat: Callable[[], None], rest: Callable[[], None]) -> None:
        """See `Door`."""
        while not stop.is_set():
            try:
                self._sign_of_life()
                beat()
                body: Any = self._client.blmove(JOBS, self._taken, _POLL_SECONDS, "RIGHT", "LEFT")
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
            self._client.delete(f"{JOBS}:door:{self._name}")
            self._client.srem(f"{JOBS}:doors", self._name)

    def _handle(self, body: Any) -> None:
        self._intake.take(body)
        self._client.lrem(self._taken, 1, body)

    def _put_back(self) -> None:
        while self._client.lmove(self._taken, JOBS, "RIGHT", "RIGHT") is not None:
            pass

    def _sign_of_life(self) -> None:
        now = self._clock.monotonic()
        if not self._next_sign.passed(now):
            return
        self._next_sign = Deadline.after(_SIGN_SECONDS, now)
        with self._client.pipeline(transaction=False) as pipe:
            pipe.set(f"{JOBS}:door:{self._name}", 1, ex=ALIVE_SECONDS)
            pipe.sadd(f"{JOBS}:doors", self._name)
            pipe.smembers(f"{JOBS}:doors")
            doors = pipe.execute()[-1]
        # What this door itself still holds was taken before a failure: it comes first again.
        self._put_back()
        for door in (name.decode() for name in doors if name.decode() != self._name):
            keys = [f"{JOBS}:taken:{door}", JOBS, f"{JOBS}:door:{door}", f"{JOBS}:doors"]
            moved = self._reclaim(keys=keys, args=[door])
            if moved:
                log.info("door_reclaimed", messages=moved)


class RabbitDoor:
    """Takes from a durable quorum queue with a consumer; acknowledges one by one."""

    def __init__(self, url: str, intake: Takes) -> None:
        self._url = url
        self._intake = intake

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
                with suppress(Exception):  # a broken connection may break once more while it is closed
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
        def on_message(message: Any) -> None:
            if self._passed_on(bytes(message.body or b""), stop, rest):
                channel.basic_ack(message.delivery_tag)

        channel = connection.default_channel
        # Else py-amqp decodes the body by the content encoding that a producer happened to name.
        channel.auto_decode = False
        kombu.Queue(JOBS, durable=True, queue_arguments=jobs_arguments())(channel).declare()
        # One at a time: whatever waits here when the connection breaks counts one delivery more, and
        # after DELIVERY_LIMIT of them RabbitMQ gives it up.
        channel.basic_qos(0, 1, False)
        # Not kombu's own consumer: it decompresses a body whose headers name a compression, and breaks
        # on one that is not compressed.
        channel.basic_consume(JOBS, callback=on_message)
        while not stop.is_set():
            beat()
            with suppress(TimeoutError):
                connection.drain_events(timeout=_POLL_SECONDS)

    def _passed_on(self, body: bytes, stop: threading.Event, rest: Callable[[], None]) -> bool:
        """Offer a message to the intake until it takes it; False when the door stops before that."""
        while True:
            try:
                self._intake.take(body)
            except OutletUnavailable as error:
                # The message stays in hand: to give it back would count as a delivery.
                log.warning("door_cannot_pass_on", error=str(error))
                rest()
                if stop.wait(_PAUSE_SECONDS):
                    return False
            else:
                return True
