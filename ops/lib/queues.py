"""The producer's and the consumer's side of the queues, for the demo, tests and benchmarks.

Written against the documented contract with plain clients, sharing nothing with `worker`.
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
    """One broker, seen by an EHR."""

    def put(self, *bodies: bytes, queue: str = JOBS) -> None:
        """Put messages on a queue, in order."""
        ...

    def take(self, queue: str, timeout: float) -> bytes | None:
        """Take the oldest message of a queue, waiting up to `timeout` seconds for one."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...

    def hang_up(self) -> None:
        """Close the connection without a word: a broker that blocks its publishers would never answer."""
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
            # A signal may have come in the middle of an answer of the broker: its rest would be waited for.
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
    """RabbitMQ: publish to the queue by the default exchange; consume with acknowledgement."""

    def __init__(self, url: str) -> None:
        self._connection = kombu.Connection(url, transport_options={"confirm_publish": True})
        self._channel = self._connection.channel()
        self._channel.auto_decode = False
        self._received: dict[str, list[bytes]] = {}
        self._consumers: dict[str, Any] = {}

    def put(self, *bodies: bytes, queue: str = JOBS) -> None:
        """See `Queues`."""
        self._see_to(queue, _jobs_arguments(queue))
        producer = kombu.Producer(self._channel)
        for body in bodies:
            self._publish(producer, body, queue)

    def _see_to(self, queue: str, arguments: dict[str, object]) -> None:
        """A queue that is there is used as it is: what arguments it has is the worker's business."""
        channel = self._connection.channel()
        try:
            channel.queue_declare(queue, passive=True)
        except NotFound:  # which closes the channel
            channel = self._connection.channel()
            channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
        channel.close()

    def _publish(self, producer: kombu.Producer, body: bytes, queue: str) -> None:
        """Publish with confirmation: a quorum queue that is just being made refuses for a moment."""
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

        self._see_to(queue, {"x-queue-type": "quorum"})
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
    """As the worker declares a queue of jobs, with its lane's queue for what RabbitMQ gives up."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": 50,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue.replace(JOBS, UNDELIVERED, 1),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def connect(url: str) -> Queues:
    """The queues of a broker, by its URL."""
    return RedisQueues(url) if url.startswith("redis") else RabbitQueues(url)


def encode(jobs: Iterable[dict[str, Any]]) -> list[bytes]:
    """Jobs as the bodies of messages."""
    return [json.dumps(job).encode() for job in jobs]
