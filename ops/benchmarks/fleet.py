"""The worker as a subject: a whole installation with nothing switched off, pinned to one core."""

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
#: The types of events of which exactly one ends a job.
FINAL = ("corti.job.completed.v1", "corti.job.failed.v1")


def patience(streams: int) -> float:
    """Seconds in which jobs that are put at once must be streaming, or something is wrong.

    Jobs that start give way to audio that runs: 4,000 take 100 s on a quiet machine, and this is three
    times that. Audio has to last as long, because the first streams must not end before the last begin.
    """
    return 30.0 + 0.075 * streams


def until_open(server: LoadServer, count: int) -> None:
    """Wait until so many streams are open; where that takes too long, end the command."""
    try:
        server.wait_open(count, patience(count))
    except TimeoutError as error:
        raise click.ClickException(str(error)) from None


def speech(path: Path, seconds: float) -> Path:
    """Write noise as a WAV file of 16 kHz, 16 bit, mono."""
    noise = random.Random(1)
    second = array.array("h", (noise.randint(-9000, 9000) for _ in range(_RATE)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes((second * int(seconds + 1)).tobytes()[: int(seconds * _RATE) * 2])
    return path


class Installation:
    """A broker and the means to put jobs and start workers.

    Args:
        broker_url: Redis or RabbitMQ.
        redis_url: For soft state.
        service: The settings that point a worker at a server.
        folder: For logs and audio.
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
            module: What Python runs; see `ops.benchmarks.subjects.without_telemetry` for another.
            settings: Names without prefix, in lower case.
        """
        own = {f"CORTI_WORKER_{name.upper()}": str(value) for name, value in settings.items()}
        log = self.folder / f"worker-{uuid4().hex[:8]}.log"
        worker = WorkerProcess({**self._settings, **own}, log, module=module)
        psutil.Process(worker.pid).cpu_affinity([cores()[1]])
        return worker

    def put(self, audio: Path, count: int, **changes: Any) -> list[str]:
        """Put jobs for an audio file.

        Returns:
            Their ids.
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
        """The final events that arrive until none came for `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            body = self.box.take(queues.RESULTS, min(left, 1.0))
            event = json.loads(body) if body else None
            if event and event["type"] in FINAL:
                deadline = time.monotonic() + seconds
                yield event


@contextmanager
def installation(broker: str, service: Mapping[str, str], folder: Path) -> Iterator[Installation]:
    """Start servers on the servers' core; `broker` is `redis` or `rabbitmq`."""
    os.sched_setaffinity(0, {cores()[0]})
    with RedisServer() as soft:
        if broker == "redis":
            yield Installation(soft.url, soft.url, service, folder)
            return
        with RabbitMqServer() as rabbit:
            yield Installation(rabbit.url, soft.url, service, folder)
