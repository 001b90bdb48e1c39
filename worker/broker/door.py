"""The door's shells: they bring producers' messages to the intake and acknowledge what it took.

Redis keys:

============================  ======  ===============================================================
key                           type    content and life
============================  ======  ===============================================================
``corti.jobs``                list    producers' messages; newest left
``corti.jobs:taken:<door>``   list    the message that door is handling; gone when it is handled
``corti.jobs:door:<door>``    string  sign of life of that door; expires after `ALIVE_SECONDS`
``corti.jobs:doors``          set     names of all doors that may hold a message
``corti.jobs.aside``          zset    jobs set aside, with the time (s) to come back; see outlet.py
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
from amqp.exceptions import PreconditionFailed
from kombu.exceptions import OperationalError

from worker.broker.topology import MAIN_LANE, Lane, jobs_arguments, keepalive
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

#: Brings back what was set aside and whose time is up: next in line.
_COME_BACK = """
local now = tonumber(redis.call('TIME')[1])
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)
for _, body in ipairs(due) do
    redis.call('RPUSH', KEYS[2], body)
    redis.call('ZREM', KEYS[1], body)
end
return #due
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

    def __init__(self, client: redis.Redis, intake: Takes, clock: Clock, lane: Lane = MAIN_LANE) -> None:
        self._client = client
        self._lane = lane
        self._jobs = lane.jobs
        self._intake = intake
        self._clock = clock
        self._next_sign = Deadline(0.0)
        self._name = uuid4().hex
        self._taken = f"{self._jobs}:taken:{self._name}"
        self._reclaim = client.register_script(_RECLAIM)
        self._come_back = client.register_script(_COME_BACK)

    def run(self, stop: threading.Event, beat: Callable[[], None], rest: Callable[[], None]) -> None:
        """See `Door`."""
        while not stop.is_set():
            try:
                self._sign_of_life()
                beat()
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
        self._intake.take(body)
        self._client.lrem(self._taken, 1, body)

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
            pipe.smembers(f"{self._jobs}:doors")
            doors = pipe.execute()[-1]
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
    """Takes from a durable quorum queue with a consumer; acknowledges one by one."""

    def __init__(self, url: str, intake: Takes, lane: Lane = MAIN_LANE) -> None:
        self._url = url
        self._lane = lane
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

        channel = self._channel(connection)
        # Else py-amqp decodes the body by the content encoding that a producer happened to name.
        channel.auto_decode = False
        # One at a time: whatever waits here when the connection breaks counts one delivery more, and
        # after DELIVERY_LIMIT of them RabbitMQ gives it up.
        channel.basic_qos(0, 1, False)
        # Not kombu's own consumer: it decompresses a body whose headers name a compression, and breaks
        # on one that is not compressed.
        channel.basic_consume(self._lane.jobs, callback=on_message)
        while not stop.is_set():
            beat()
            with suppress(TimeoutError):
                connection.drain_events(timeout=_POLL_SECONDS)

    def _channel(self, connection: kombu.Connection) -> Any:
        """A channel on which the queue exists, with our arguments or with those of whoever made it first."""
        channel = connection.channel()
        try:
            kombu.Queue(self._lane.jobs, durable=True, queue_arguments=jobs_arguments())(channel).declare()
        except PreconditionFailed:
            log.warning(
                "jobs_queue_has_other_arguments",
                queue=self._lane.jobs,
                advice="somebody declared it before us, and it is used as it is; delete it to have it made "
                "a quorum queue that sends to corti.dead what cannot be delivered",
            )
            channel = connection.channel()  # the refusal closed the first
        return channel

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
