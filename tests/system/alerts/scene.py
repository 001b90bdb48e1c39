"""An installation under a steady load, recorded before, under and after a fault."""

import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import kombu.exceptions
import redis

from ops.lib import queues
from ops.lib.servers import RabbitMqServer, RedisServer
from ops.sandbox import launch
from tests.contract.relay import Relay
from tests.system.alerts.recording import Page, Recorder
from tests.system.alerts.rules import READ
from tests.system.audio import clip
from tests.system.installation import Installation

#: Seconds of a state that is repeated; the observer looks every five.
STEADY = 6.0
#: Quick to notice and to retry, so that a state is steady soon.
_SETTINGS = {
    "slots": 2,
    "retry_cap": 2,
    "lease": 6,
    "visibility_timeout": 8,
    "publish_patience": 3,
    "grace": 3,
}
#: A second tenant, which only some faults' jobs name: its name, which is its realm, too; client and secret.
CLINIC = ("clinic", "clinic-client", "clinic-secret")
Message = dict[str, Any] | bytes
_BROKEN = (redis.RedisError, kombu.exceptions.OperationalError, OSError, RuntimeError)


class Scene(Installation):
    """An installation of its own for one fault.

    Attributes:
        redis: Its Redis, which is the broker too unless there is a RabbitMQ.
        line: On RabbitMQ, the line between workers and broker.
        producers_url: The broker without that line.
        next_message: Makes the messages of the load, by number.
        interval: Seconds between two of them.
        reading: Whether results are read.
        recorder: What `/metrics` says.
        clips: Audio: `short` (1 s), `long` (20 s), `none` (no audio in it), `missing` (no file).
    """

    redis: RedisServer
    line: Relay | None
    producers_url: str
    stack: ExitStack
    recorder: Recorder
    clips: dict[str, Path]

    def prepare(self) -> None:
        """Make audio and the load."""
        self.clips = {name: self.folder / f"{name}.wav" for name in ("short", "long", "none", "missing")}
        clip(self.clips["short"], 1.0, seed=1)
        clip(self.clips["long"], 20.0, seed=2)
        self.clips["none"].write_bytes(b"this is no audio at all " * 20)
        self.interval = 1.0
        self.reading = True
        self.next_message: Callable[[int], Message] = self.good
        self.undo: list[Callable[[], object]] = []

    def good(self, _number: int = 0) -> dict[str, Any]:
        """A job that ends well, soon."""
        return self.job(self.clips["short"], pace=4)

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """A producer and a consumer at work."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=run, args=(stop,), daemon=True) for run in (self._produce, self._consume)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def idle(self, timeout: float) -> None:
        """Wait until what has piled up is done, and has been for a while."""
        piled = re.compile(r'corti_queue_depth\{.*queue="corti\.(jobs|work)",state="waiting"\}')
        since = time.monotonic()

        def done() -> bool:
            nonlocal since
            page = self.recorder.recording.at(self.recorder.now())
            depths = [value for series, value in page.items() if piled.match(series)]
            # One that is just being taken is no pile.
            if not depths or sum(depths) > 1:
                since = time.monotonic()
            return time.monotonic() - since > STEADY + 1

        self.until(done, timeout)

    def shown(self, condition: Callable[[Page], bool], timeout: float) -> None:
        """Wait until the recorder has seen something."""
        self.until(lambda: self.recorder.seen(condition), timeout)

    def pulse(self, number: int, stopped: float, running: float) -> None:
        """Starve a worker of its core, as a noisy neighbour would, until the scene is mended."""
        stop = threading.Event()
        process = self.workers[number].process

        def run() -> None:
            while not stop.wait(running):
                process.send_signal(signal.SIGSTOP)
                time.sleep(stopped)
                process.send_signal(signal.SIGCONT)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.undo += [thread.join, stop.set]  # undone from the end

    def recover(self) -> None:
        """Undo what only the scene itself can undo."""
        while self.undo:
            self.undo.pop()()

    def _produce(self, stop: threading.Event) -> None:
        number = 0
        box: queues.Queues | None = None
        while not stop.wait(self.interval):
            try:
                box = box or queues.connect(self.producers_url)
                message = self.next_message(number)
                box.put(message if isinstance(message, bytes) else json.dumps(message).encode())
                number += 1
            except _BROKEN:
                box = _close(box)
        _close(box)

    def _consume(self, stop: threading.Event) -> None:
        box: queues.Queues | None = None
        while not stop.wait(0.2):
            try:
                box = box or queues.connect(self.producers_url)
                while self.reading and box.take(queues.RESULTS, 0.2) is not None and not stop.is_set():
                    pass
                if not self.reading:
                    box = _close(box)  # RabbitMQ would send results to a consumer that does not look
            except _BROKEN:
                box = _close(box)
        _close(box)


def _close(box: queues.Queues | None) -> queues.Queues | None:
    """Close it, if it is there and can be; there is none afterwards."""
    with suppress(*_BROKEN):
        if box is not None:
            box.close()
    return None


@contextmanager
def staged(
    broker: str,
    rabbitmq: RabbitMqServer | None,
    folder: Path,
    *,
    token_seconds: float,
    settings: Mapping[str, object],
) -> Iterator[Scene]:
    """Redis, a broker, the sandbox and two workers under load, with the recorder running."""
    with ExitStack() as stack:
        redis_server = stack.enter_context(RedisServer(appendonly=True))
        sandbox = stack.enter_context(
            launch.start(
                tls_port=None, token_seconds=token_seconds, extra_arguments=("--client", ":".join(CLINIC))
            )
        )
        url, line = redis_server.url, None
        if broker == "rabbitmq":
            assert rabbitmq is not None
            vhost = f"scene-{uuid4().hex[:8]}"
            url = rabbitmq.add_vhost(vhost)
            stack.callback(rabbitmq.delete_vhost, vhost)
            line = stack.enter_context(Relay(rabbitmq.ports.amqp, url))
        box = stack.enter_context(queues.connect(url))
        tenant = folder / "tenants" / CLINIC[0]
        tenant.mkdir(parents=True)
        for file, content in (("client-id", CLINIC[1]), ("client-secret", CLINIC[2]), ("max-streams", "1")):
            (tenant / file).write_text(content)
        scene = Scene(line.url if line else url, redis_server.url, sandbox, box, folder, stack)
        scene.redis, scene.line, scene.producers_url, scene.stack = redis_server, line, url, stack
        scene.settings["CORTI_WORKER_TENANTS_DIR"] = str(tenant.parent)
        scene.settings |= {
            f"CORTI_WORKER_{name.upper()}": str(value) for name, value in {**_SETTINGS, **settings}.items()
        }
        scene.prepare()
        for worker in [scene.start_worker(), scene.start_worker()]:
            worker.ready()
        scene.recorder = stack.enter_context(Recorder(scene.workers, READ))
        # First of all: a server that stands still would hold up everybody who says good-bye.
        stack.callback(scene.recover)
        with scene.loaded():
            yield scene
