"""Clients that put jobs and take results, for the demo, tests and benchmarks.

They follow the documented contract, use plain client libraries and share no code with `worker`.
"""

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

import kombu
import redis
from amqp.exceptions import MessageNacked, NotFound

JOBS = "corti.jobs"
RESULTS = "corti.results"
DEAD = "corti.dead"
UNDELIVERED = "corti.undelivered"


class Queues(Protocol):
    """A connection to one broker, as an EHR uses it. As a context manager it closes itself."""

    def put(self, *bodies: bytes, queue: str = JOBS) -> None:
        """Put messages on a queue, in this order."""
        ...

    def take(self, queue: str, timeout: float) -> bytes | None:
        """Take the oldest message of a queue; `None` if none arrives within `timeout` seconds."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...

    def hang_up(self) -> None:
        """Close the connection without waiting: a broker that blocks publishers does not answer."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Closing:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            # An exception from a signal may have interrupted a reply; `close` would wait for its rest.
            self.hang_up()

    def close(self) -> None:
        raise NotImplementedError

    def hang_up(self) -> None:
        raise NotImplementedError


class RedisQueues(_Closing):
    """Redis: `LPUSH` to put, `BRPOP` to take."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)

    def put(self, *bodies: bytes, queue: str = JOBS) -> None:
        """See `Queues`."""
        with self._client.pipeline(transaction=False) as pipe:
            for body in bodies:
                pipe.lpush(queue, body)
            pipe.execute()

    def take(self, queue: str, timeout: float) -> bytes | None:
        """See `Queues`."""
        item: Any = self._client.brpop([queue], timeout)
        return None if item is None else bytes(item[1])

    def close(self) -> None:
        """See `Queues`."""
        self._client.close()

    def hang_up(self) -> None:
        """See `Queues`."""
        self._client.close()


class RabbitQueues(_Closing):
    """RabbitMQ: publish through the default exchange; consume with acknowledgement."""

    def __init__(self, url: str) -> None:
        self._connection = kombu.Connection(url, transport_options={"confirm_publish": True})
        self._channel = self._connection.channel()
        self._channel.auto_decode = False
        self._received: dict[str, list[bytes]] = {}
        self._consumers: dict[str, Any] = {}

    def put(self, *bodies: bytes, queue: str = JOBS) -> None:
        """See `Queues`."""
        self._ensure_queue(queue, _jobs_arguments(queue))
        producer = kombu.Producer(self._channel)
        for body in bodies:
            self._publish(producer, body, queue)

    def _ensure_queue(self, queue: str, arguments: dict[str, object]) -> None:
        """Declare a queue unless it exists; the worker may have declared it with other arguments."""
        channel = self._connection.channel()
        try:
            channel.queue_declare(queue, passive=True)
        except NotFound:  # which closes the channel
            channel = self._connection.channel()
            channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
        channel.close()

    def _publish(self, producer: kombu.Producer, body: bytes, queue: str) -> None:
        """Publish with confirmation and retries: a new quorum queue refuses messages for a moment."""
        for pause in (0.1, 0.5, 2.0, 0.0):
            try:
                producer.publish(
                    body,
                    routing_key=queue,
                    content_type="application/json",
                    content_encoding="utf-8",
                    mandatory=True,
                    confirm_timeout=10,
                )
            except MessageNacked:
                time.sleep(pause)
            else:
                return
        raise RuntimeError(f"RabbitMQ refused a message for {queue}")

    def take(self, queue: str, timeout: float) -> bytes | None:
        """See `Queues`."""
        received = self._received.setdefault(queue, [])
        if queue not in self._consumers:
            self._consumers[queue] = self._consume(queue, received)
        if not received:
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=max(timeout, 0.01))
        return received.pop(0) if received else None

    def _consume(self, queue: str, received: list[bytes]) -> Any:
        def on_message(message: Any) -> None:
            received.append(bytes(message.body or b""))
            message.ack()

        self._ensure_queue(queue, {"x-queue-type": "quorum"})
        consumer = kombu.Consumer(
            self._channel,
            [kombu.Queue(queue, no_declare=True)],
            on_message=on_message,
            prefetch_count=100,
        )
        consumer.consume()
        return consumer

    def close(self) -> None:
        """See `Queues`."""
        self._connection.close()

    def hang_up(self) -> None:
        """See `Queues`."""
        connection: Any = self._connection.connection
        connection.transport.close()


def _jobs_arguments(queue: str) -> dict[str, object]:
    """The arguments with which the worker declares a queue of jobs.

    RabbitMQ moves messages over the delivery limit to the lane's queue `corti.undelivered`.
    """
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": 50,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue.replace(JOBS, UNDELIVERED, 1),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def connect(url: str) -> Queues:
    """Connect to the broker with this URL (Redis or AMQP)."""
    return RedisQueues(url) if url.startswith("redis") else RabbitQueues(url)


def encode(jobs: Iterable[dict[str, Any]]) -> list[bytes]:
    """Encode jobs as message bodies."""
    return [json.dumps(job).encode() for job in jobs]
