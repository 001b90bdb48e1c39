"""The other side of a soak: it puts jobs and invalid messages, and loses nothing that it has taken.

Like an EHR that outlives broker restarts: it repeats each job until the broker has confirmed it, and
acknowledges a message when it is in the books.
"""

import hashlib
import json
import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import uuid4

import kombu
import redis

from ops.lib import queues
from ops.soak.books import Books

#: Times real time: short jobs, and some that outlast a drain's grace period.
_PACES = (2.0, 2.0, 0.5)
_LOOK = 0.1
_PAUSE = 0.5
_TIMEOUT = 15


class Ehr:
    """Three threads: one puts jobs, one puts invalid messages, one reads.

    Args:
        url: The broker's, without anything in between.
        books: What was put and what came.
        audio: The file of every job.
        rate: Jobs a second.
    """

    def __init__(self, url: str, books: Books, audio: Path, rate: float) -> None:
        self._url = url
        self._books = books
        self._audio = audio
        self._every = 1 / rate
        self._stop = threading.Event()
        self._sending = threading.Event()
        self._invalid: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._enter: dict[str, Callable[[bytes], None]] = {
            queues.RESULTS: books.enter_result,
            queues.DEAD: books.enter_dead,
        }
        read = self._read_redis if url.startswith("redis") else self._read_rabbitmq
        self._threads = [
            threading.Thread(target=target, name=f"ehr-{number}", daemon=True)
            for number, target in enumerate((self._put_jobs, self._put_invalid, lambda: self._insist(read)))
        ]

    def start(self) -> None:
        """Start all three."""
        self._sending.set()
        for thread in self._threads:
            thread.start()

    def stop_sending(self) -> None:
        """Put no more jobs; go on reading."""
        self._sending.clear()

    def close(self) -> None:
        """Stop, and wait for what is in hand."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_TIMEOUT + 5)

    def put_invalid(self, count: int) -> None:
        """Have messages put that are no jobs; returns at once."""
        for number in range(count):
            name = f"soak-invalid-{uuid4()}"
            body = f"{name} is no JSON" if number % 2 else json.dumps({"job_id": name, "audio": 7})
            self._invalid.put(body.encode())

    def _put_jobs(self) -> None:
        due = time.monotonic()
        paces = cycle(_PACES)
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._every, time.monotonic() - 10)
            if not self._sending.is_set():
                continue
            job_id = f"soak-{uuid4()}"
            job: dict[str, Any] = {
                "job_id": job_id,
                "audio": {"uri": self._audio.as_uri()},
                "transcription": {"language": "en"},
                "pace": next(paces),
            }
            # A put that fails half-way may have arrived: it counts, and is sent again all the same.
            self._books.put(job_id)
            self._insist(partial(self._put_once, *queues.encode([job])))

    def _put_invalid(self) -> None:
        while not self._stop.is_set():
            with suppress(queue.Empty):
                body = self._invalid.get(timeout=_LOOK)
                digest = hashlib.sha256(body).hexdigest()
                self._books.put_invalid(digest, confirmed=False)
                # Once only: the same message twice would be two dead letters by right.
                with suppress(Exception):
                    self._put_once(body)
                    self._books.put_invalid(digest, confirmed=True)

    def _put_once(self, body: bytes) -> None:
        box = queues.connect(self._url)
        try:
            box.put(body)
        finally:
            box.hang_up()

    def _insist(self, act: Callable[[], None]) -> None:
        """Do something again until it ends well; a broker that is away raises whatever its client does."""
        while not self._stop.is_set():
            with suppress(Exception):
                act()
                return
            self._stop.wait(_PAUSE)

    def _read_redis(self) -> None:
        with closing(redis.Redis.from_url(self._url, socket_timeout=_TIMEOUT)) as client:
            while not self._stop.is_set():
                moved = [self._move(client, name) for name in self._enter]
                if not any(moved):
                    self._stop.wait(_LOOK)

    def _move(self, client: redis.Redis, name: str) -> bool:
        """Take one message by way of a list of our own, so that none is lost with a connection."""
        ours = f"soak:{name}"
        body: Any = client.lindex(ours, -1) or client.lmove(name, ours, "RIGHT", "LEFT")
        if body is not None:
            self._enter[name](body)
            client.lrem(ours, -1, body)
        return body is not None

    def _read_rabbitmq(self) -> None:
        with kombu.Connection(self._url, connect_timeout=_TIMEOUT) as connection:
            channel = connection.channel()
            channel.auto_decode = False
            consumers = [self._consumer(channel, name) for name in self._enter]
            while not self._stop.is_set():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=_LOOK)
            del consumers

    def _consumer(self, channel: Any, name: str) -> Any:
        def on_message(message: Any) -> None:
            self._enter[name](bytes(message.body or b""))
            message.ack()

        declared = kombu.Queue(name, durable=True, queue_arguments={"x-queue-type": "quorum"})
        consumer = kombu.Consumer(channel, [declared], on_message=on_message, prefetch_count=100)
        consumer.consume()
        return consumer
