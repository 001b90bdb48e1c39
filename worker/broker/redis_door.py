"""The door on Redis."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import redis
import structlog

from worker.broker import door, envelope
from worker.broker.door import Rest, Takes
from worker.broker.door_scripts import COME_BACK, FINISH, RECLAIM
from worker.broker.topology import MAIN_LANE, Lane
from worker.clock import Clock, Deadline
from worker.concurrency.heartbeat import waiting
from worker.jobs.ports import BrokerUnavailable
from worker.network.connection_faults import broker_fault, connection_fault

log = structlog.get_logger(__name__)

ALIVE_SECONDS = 30
_SIGN_SECONDS = 5.0
#: For this many seconds after it saw a job set aside, the door asks Redis for the headers of each message.
#: Jobs set aside come back after seconds, to the front of the queue; an hour is for a door that could not
#: pass messages on.
_ASK_SECONDS = 3600.0


class RedisDoor:
    """Takes messages from a plain list with BLMOVE, so that a message is always in one list or the other."""

    def __init__(self, client: redis.Redis, ingress: Takes, clock: Clock, lane: Lane = MAIN_LANE) -> None:
        self._client = client
        self._lane = lane
        self._jobs = lane.jobs
        self._ingress = ingress
        self._clock = clock
        self._next_sign = Deadline(0.0)
        self._asks_until = Deadline.after(_ASK_SECONDS, clock.monotonic())
        self._name = uuid4().hex
        self._taken = f"{self._jobs}:taken:{self._name}"
        self._reclaim = client.register_script(RECLAIM)
        self._come_back = client.register_script(COME_BACK)
        self._finish = client.register_script(FINISH)

    def run(self, stop: threading.Event, beat: Callable[[], None], rest: Rest) -> None:
        """See `Door`."""
        while not stop.is_set():
            try:
                with waiting():
                    self._sign_of_life()
                beat()
                with waiting():
                    body: Any = self._client.blmove(
                        self._jobs, self._taken, door.POLL_SECONDS, "RIGHT", "LEFT"
                    )
                if body is not None:
                    self._handle(body)
            except BrokerUnavailable as error:
                log.warning("door_cannot_pass_on", error=str(error))
                self._next_sign = Deadline(0.0)
                stop.wait(door.PAUSE_SECONDS)
            except redis.RedisError as error:
                self._next_sign = Deadline(0.0)
                rest(broker_fault(error))
                log.warning("door_lost_redis", error=type(error).__name__, why=connection_fault(error))
                stop.wait(door.PAUSE_SECONDS)
        rest()
        with suppress(redis.RedisError):
            self._put_back()
            self._client.delete(f"{self._jobs}:door:{self._name}")
            self._client.srem(f"{self._jobs}:doors", self._name)

    def _handle(self, body: Any) -> None:
        if self._asks_until.passed(self._clock.monotonic()):
            self._ingress.take(body)
            with waiting():
                self._client.lrem(self._taken, 1, body)
            return
        key = envelope.known_key(self._lane, body)
        with waiting():
            stored: Any = self._client.get(key)
        self._ingress.take(body, envelope.known(stored))
        with waiting():
            self._finish(keys=[self._taken, self._lane.aside, key], args=[body])

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
        # A message that this door still holds was taken before a failure: it goes back, next in line.
        self._put_back()
        for other in (name.decode() for name in doors if name.decode() != self._name):
            keys = [
                f"{self._jobs}:taken:{other}",
                self._jobs,
                f"{self._jobs}:door:{other}",
                f"{self._jobs}:doors",
            ]
            moved = self._reclaim(keys=keys, args=[other])
            if moved:
                log.info("door_reclaimed", messages=moved)
