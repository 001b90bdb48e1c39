"""The broker's side of a process: every connection to it, made in one place."""

from contextlib import ExitStack

import redis

from worker.broker import redis_visibility
from worker.broker.depth import Depth, RabbitDepth, RedisDepth
from worker.broker.door import Door, EndGivenUp, RabbitDoor, Takes
from worker.broker.redis_door import RedisDoor
from worker.broker.senders import RabbitSender, RedisSender, Sender
from worker.broker.topology import Lane
from worker.broker.work_queue import CeleryWorkQueue, make_celery
from worker.clock import Clock
from worker.network.trust import Trust
from worker.settings import Settings


class BrokerSide:
    """Makes what a process needs to use the broker. Made once in a process.

    Args:
        settings: Valid settings.
        clock: For time.
        stack: Closes what is made here.
    """

    def __init__(self, settings: Settings, clock: Clock, stack: ExitStack) -> None:
        self._url = settings.broker_url.get_secret_value()
        self._trust = settings.broker_trust
        self._clock = clock
        self._stack = stack
        self.is_redis = settings.broker_is_redis
        self.lane = Lane(settings.lane)
        options = redis_visibility.transport_options(settings.visibility_timeout, self.lane)
        self.celery = make_celery(
            self._url,
            redis_options=options if self.is_redis else None,
            consumer_timeout=settings.consumer_timeout,
            lane=self.lane,
            trust=self._trust,
        )

    def redis(self) -> redis.Redis:
        """A client of the broker, where that is Redis."""
        return redis_client(self._url, self._trust, self._stack)

    def sender(self) -> Sender:
        """Puts messages on the broker's queues."""
        if self.is_redis:
            return RedisSender(self.redis(), self.lane)
        sender = RabbitSender(self._url, self.lane, self._trust)
        self._stack.callback(sender.close)
        return sender

    def work_queue(self) -> CeleryWorkQueue:
        """Celery's queue, on a connection of its own that is made at its first use."""
        work = CeleryWorkQueue(self.celery, self._url, on_rabbit=not self.is_redis, trust=self._trust)
        self._stack.callback(work.close)
        return work

    def door(self, ingress: Takes, end_given_up: EndGivenUp) -> Door:
        """Takes in producers' messages."""
        if self.is_redis:
            return RedisDoor(self.redis(), ingress, self._clock, self.lane)
        return RabbitDoor(self._url, ingress, self.lane, end_given_up, self._trust)

    def depth(self) -> Depth:
        """Counts the messages that wait in the broker's queues."""
        if self.is_redis:
            return RedisDepth(self.redis(), self.lane)
        return RabbitDepth(self._url, self.lane, self._trust)


def redis_client(url: str, trust: Trust | None, stack: ExitStack) -> redis.Redis:
    """A client with time-outs.

    Args:
        url: The server. Secret.
        trust: For TLS; None without.
        stack: Closes the client.
    """
    client = redis.Redis.from_url(
        url,
        **(trust.for_redis() if trust else {}),
        socket_timeout=5,
        socket_connect_timeout=5,
        socket_keepalive=True,
        health_check_interval=10,
    )
    stack.callback(client.close)
    return client
