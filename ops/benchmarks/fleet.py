"""The worker as a subject: a complete installation with all features, pinned to one core."""

import array
import json
import os
import random
import time
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import psutil
from cryptography.fernet import Fernet

from ops.benchmarks.meter import cores
from ops.benchmarks.native.server import LoadServer
from ops.lib import queues
from ops.lib.servers import RabbitMqServer, RedisServer
from ops.lib.worker_process import WorkerProcess

_RATE = 16_000
#: The types of the events that end a job. Each job has exactly one such event.
FINAL = ("corti.job.completed.v1", "corti.job.failed.v1")


def patience(streams: int) -> float:
    """Return the seconds within which this many jobs, put at once, must be streaming.

    Starting jobs give way to running streams: 4,000 jobs take 100 s on an idle machine. This is about three
    times as long. The audio must be at least as long, so that the first streams do not end before the last
    ones begin.
    """
    return 30.0 + 0.075 * streams


def until_open(server: LoadServer, count: int) -> None:
    """Wait until `count` streams are open.

    Raises:
        click.ClickException: That takes longer than `patience`.
    """
    try:
        server.wait_open(count, patience(count))
    except TimeoutError as error:
        raise click.ClickException(str(error)) from None


def speech(path: Path, seconds: float) -> Path:
    """Write noise of this length as a WAV file (16 kHz, 16 bit, mono), and return its path."""
    noise = random.Random(1)
    second = array.array("h", (noise.randint(-9000, 9000) for _ in range(_RATE)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes((second * int(seconds + 1)).tobytes()[: int(seconds * _RATE) * 2])
    return path


class Installation:
    """A broker, with methods to put jobs and start workers.

    Args:
        broker_url: URL of Redis or RabbitMQ.
        redis_url: URL of the Redis for claims, results and tokens.
        service: The workers' environment variables with the URLs and credentials of the service.
        folder: Directory for logs and audio.
    """

    def __init__(self, broker_url: str, redis_url: str, service: Mapping[str, str], folder: Path) -> None:
        self.broker_url = broker_url
        self.folder = folder
        self.box = queues.connect(broker_url)
        self._settings = {
            **service,
            "CORTI_WORKER_BROKER_URL": broker_url,
            "CORTI_WORKER_REDIS_URL": redis_url,
            "CORTI_WORKER_AUDIO_ROOT": str(folder.resolve()),
            "CORTI_WORKER_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        }

    def start_worker(self, module: str = "worker", /, **settings: object) -> WorkerProcess:
        """Start a worker on the subject's core.

        Args:
            module: The Python module to run: `worker`, or `ops.benchmarks.subjects.without_telemetry`.
            settings: Worker settings by name, in lower case and without `CORTI_WORKER_`.
        """
        own = {f"CORTI_WORKER_{name.upper()}": str(value) for name, value in settings.items()}
        log = self.folder / f"worker-{uuid4().hex[:8]}.log"
        worker = WorkerProcess({**self._settings, **own}, log, module=module)
        psutil.Process(worker.pid).cpu_affinity([cores()[1]])
        return worker

    def put(self, audio: Path, count: int, **changes: Any) -> list[str]:
        """Put `count` jobs for an audio file; `changes` are further keys of each job.

        Returns:
            The ids of the jobs.
        """
        ids = [f"job-{uuid4()}" for _ in range(count)]
        wanted: dict[str, Any] = {
            "audio": {"uri": audio.as_uri()},
            "transcription": {"language": "en"},
            **changes,
        }
        self.box.put(*(json.dumps({"job_id": job_id, **wanted}).encode() for job_id in ids))
        return ids

    def finals(self, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield final events until none has arrived for `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            body = self.box.take(queues.RESULTS, min(left, 1.0))
            event = json.loads(body) if body else None
            if event and event["type"] in FINAL:
                deadline = time.monotonic() + seconds
                yield event


@contextmanager
def installation(broker: str, service: Mapping[str, str], folder: Path) -> Iterator[Installation]:
    """Start the broker and Redis, both on the core of the servers, and stop them afterwards.

    Args:
        broker: `redis` or `rabbitmq`.
        service: See `Installation`.
        folder: See `Installation`.
    """
    os.sched_setaffinity(0, {cores()[0]})
    with RedisServer() as soft:
        if broker == "redis":
            yield Installation(soft.url, soft.url, service, folder)
            return
        with RabbitMqServer() as rabbit:
            yield Installation(rabbit.url, soft.url, service, folder)
