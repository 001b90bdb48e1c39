"""How many messages wait in our queues.

RabbitMQ tells a client how many messages are ready, not how many are delivered and unacknowledged: only its
management API tells that, and a worker has no credentials for it. So the workers themselves count the jobs
that run: worker/store/ledger/fleet.py.
"""

from contextlib import suppress
from typing import Protocol

import redis
from amqp.exceptions import NotFound

from worker.broker import rabbitmq
from worker.broker.topology import DEAD, RESULTS, Lane
from worker.jobs.ports import BrokerUnavailable
from worker.network.trust import Trust

_TIMEOUT = 5.0


class Depth(Protocol):
    """The queues' lengths."""

    def read(self) -> dict[str, int]:
        """Messages that wait, by queue; raises BrokerUnavailable."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class RedisDepth:
    """Redis: the lengths of lists."""

    def __init__(self, client: redis.Redis, lane: Lane) -> None:
        self._client = client
        self._lane = lane

    def read(self) -> dict[str, int]:
        """See `Depth`."""
        lists = [self._lane.jobs, self._lane.work, RESULTS, DEAD]
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for name in lists:
                    pipe.llen(name)
                pipe.zcard(self._lane.aside)
                lengths = pipe.execute()
        except redis.RedisError as error:
            raise BrokerUnavailable(type(error).__name__) from None
        return dict(zip([*lists, self._lane.aside], map(int, lengths), strict=True))

    def close(self) -> None:
        """See `Depth`. Does nothing: the client belongs to the caller."""


class RabbitDepth:
    """RabbitMQ: passive declarations on a connection of its own."""

    def __init__(self, url: str, lane: Lane, trust: Trust | None = None) -> None:
        self._connection = rabbitmq.connect(url, trust, connect_timeout=_TIMEOUT, answer_timeout=_TIMEOUT)
        self._queues = [lane.jobs, lane.work, lane.aside, lane.undelivered, RESULTS, DEAD]
        self._failures = rabbitmq.failures(self._connection)

    def read(self) -> dict[str, int]:
        """See `Depth`."""
        try:
            self._connection.ensure_connection(max_retries=1, interval_start=0, timeout=_TIMEOUT)
            return {name: self._length(name) for name in self._queues}
        except self._failures as error:
            self.close()
            raise BrokerUnavailable(type(error).__name__) from None

    def close(self) -> None:
        """See `Depth`."""
        with suppress(Exception):  # a broken connection may break once more while it is closed
            self._connection.close()

    def _length(self, name: str) -> int:
        # A channel for each queue: asking for a queue that does not exist closes the channel.
        channel = self._connection.channel()
        try:
            return int(channel.queue_declare(name, passive=True).message_count)
        except NotFound:
            return 0  # nobody has made it yet
        finally:
            with suppress(*self._failures):
                channel.close()
