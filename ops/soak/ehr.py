"""The EHR of a soak test: puts jobs and invalid messages, and reads results and dead letters.

It tolerates restarts of the broker: it repeats each job until the broker has confirmed it, and acknowledges a
message after it has recorded it.
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

#: Multiples of real time: most jobs are short, and some last longer than the grace period of a drain.
_PACES = (2.0, 2.0, 0.5)
_LOOK = 0.1
_PAUSE = 0.5
_TIMEOUT = 15


class Ehr:
    """Three threads: one puts jobs, one puts invalid messages, one reads.

    Args:
        url: The URL of the broker itself, not of the relay.
        books: Records what was put and what came.
        audio: The audio file of every job.
        rate: Jobs per second.
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
        """Start the threads."""
        self._sending.set()
        for thread in self._threads:
            thread.start()

    def stop_sending(self) -> None:
        """Put no more jobs, and continue to read."""
        self._sending.clear()

    def close(self) -> None:
        """Stop the threads, and wait until they have ended their current step."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_TIMEOUT + 5)

    def put_invalid(self, count: int) -> None:
        """Let the second thread put `count` invalid messages; return at once."""
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
            # A put that failed may have reached the broker, so the job is recorded before it is put.
            self._books.put(job_id)
            self._insist(partial(self._put_once, *queues.encode([job])))

    def _put_invalid(self) -> None:
        while not self._stop.is_set():
            with suppress(queue.Empty):
                body = self._invalid.get(timeout=_LOOK)
                digest = hashlib.sha256(body).hexdigest()
                self._books.put_invalid(digest, confirmed=False)
                # Only once, because the same message twice would correctly have two dead letters.
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
        """Repeat `act` until it raises nothing. The exceptions depend on the broker's client library."""
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
        """Take one message, through a list of this class, so that a broken connection loses none."""
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
