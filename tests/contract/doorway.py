"""A door that runs in a thread, with a fake ingress behind it and a real broker in front."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import kombu
import redis
from amqp.exceptions import MessageNacked

from ops.lib import queues
from tests.fakes import FakeIngress
from worker.broker.declaring import declare_with_target
from worker.broker.door import Door, RabbitDoor, Takes
from worker.broker.redis_door import RedisDoor
from worker.broker.senders import RabbitSender, RedisSender
from worker.broker.topology import JOBS, MAIN_LANE, jobs_arguments
from worker.clock import SystemClock
from worker.jobs.ingress_headers import IngressHeaders


class Doorway:
    """Methods for producers that put messages, and for doors that take them.

    Args:
        url: The broker's URL.
        door_url: The URL by which the doors reach the broker, if not the same.
    """

    def __init__(self, url: str, door_url: str | None = None) -> None:
        self.on_redis = url.startswith("redis")
        self._url = url
        self._door_url = door_url or url
        self.ingress = FakeIngress()
        self._connection: kombu.Connection | None = None
        self.beats = threading.Event()
        self.rests = threading.Event()
        self.why: str | None = None

    def off_duty(self, why: str | None = None) -> None:
        """The callback of a door: it reports why it cannot work, or None when it can."""
        self.why = why
        self.rests.set()

    def put(self, *bodies: bytes) -> None:
        """Put messages on corti.jobs; on RabbitMQ, wait for each confirmation."""
        if self.on_redis:
            with queues.connect(self._url) as producer:
                producer.put(*bodies)
            return
        for body in bodies:
            self.put_with(body, content_type="application/json")

    def put_with(self, body: bytes, **properties: Any) -> None:
        """Publish one message with AMQP properties of all kinds, until RabbitMQ confirms it."""
        if self._connection is None:
            self._connection = kombu.Connection(self._url, transport_options={"confirm_publish": True})
            declare_with_target(self._connection, JOBS, jobs_arguments(MAIN_LANE))
        channel = self._connection.default_channel
        while True:
            message = channel.prepare_message(body, **properties)
            # A quorum queue that was just declared refuses some messages; without confirms these get lost.
            with suppress(MessageNacked):
                channel.basic_publish(message, exchange="", routing_key=JOBS, mandatory=True)
                return

    def set_aside(self, body: bytes, headers: IngressHeaders) -> None:
        """Set a job aside, as a worker does."""
        if self.on_redis:
            with redis.Redis.from_url(self._url) as client:
                RedisSender(client).send_aside(body, headers)
            return
        # First declare the queue that the job comes back to. RabbitMQ keeps an expired message whose target
        # is missing, and tries again only after minutes.
        with kombu.Connection(self._url) as connection:
            declare_with_target(connection, JOBS, jobs_arguments(MAIN_LANE))
        sender = RabbitSender(self._url)
        sender.send_aside(body, headers)
        sender.close()

    def close(self) -> None:
        """Close the producer's connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def waiting(self) -> int:
        """How many messages wait on corti.jobs."""
        if self.on_redis:
            with redis.Redis.from_url(self._url) as client:
                length: Any = client.llen(JOBS)
                return int(length)
        with kombu.Connection(self._url) as connection:
            return int(connection.default_channel.queue_declare(JOBS, passive=True).message_count)

    def delete_queue(self) -> None:
        """Delete corti.jobs, as a careless operator does."""
        with kombu.Connection(self._url) as connection:
            connection.default_channel.queue_delete(JOBS)
        self.close()

    @contextmanager
    def open(self, ingress: Takes | None = None) -> Iterator["OpenDoor"]:
        """Run a door; at the end, tell it to stop and wait until it has."""
        with ExitStack() as stack:
            taker = ingress or self.ingress
            door: Door
            if self.on_redis:
                client = stack.enter_context(redis.Redis.from_url(self._door_url, socket_timeout=5))
                door = RedisDoor(client, taker, SystemClock())
            else:
                door = RabbitDoor(self._door_url, taker)
            running = OpenDoor(self, door)
            running.start()
            stack.callback(running.leave)
            yield running


class OpenDoor(threading.Thread):
    """A door that runs in a thread."""

    def __init__(self, way: Doorway, door: Door) -> None:
        super().__init__(daemon=True)
        self._way = way
        self._door = door
        self.stop = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        """See `Door`."""
        try:
            self._door.run(self.stop, self._way.beats.set, self._way.off_duty)
        except Exception as error:  # noqa: BLE001  # looked at by the test
            self.failure = error

    def leave(self) -> None:
        """Tell the door to stop, and wait until it has."""
        self.stop.set()
        self.join(20)
        assert not self.is_alive(), "the door does not stop"
