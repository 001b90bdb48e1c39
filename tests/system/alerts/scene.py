"""An installation under a steady load, recorded before, during and after a fault."""

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

#: Seconds of a steady state, which the replay repeats; the observer looks at the queues every five.
STEADY = 6.0
#: Short times to notice and to retry, so that a state is steady soon.
_SETTINGS = {
    "slots": 2,
    "retry_cap": 2,
    "lease": 6,
    "visibility_timeout": 8,
    "publish_patience": 3,
    "grace": 3,
}
#: A second tenant, which the jobs of some faults name: its name (which is its realm, too), client and secret.
CLINIC = ("clinic", "clinic-client", "clinic-secret")
Message = dict[str, Any] | bytes
_BROKEN = (redis.RedisError, kombu.exceptions.OperationalError, OSError, RuntimeError)


class Scene(Installation):
    """An installation of its own for one fault.

    Attributes:
        redis: The Redis server, which is the broker, too, unless RabbitMQ is.
        line: On RabbitMQ, a relay between workers and broker, which a fault can cut.
        producers_url: The broker's address without the relay.
        next_message: Makes the messages of the load, by number.
        interval: Seconds between two messages of the load.
        reading: Whether results are read.
        recorder: Records `/metrics` of all workers.
        clips: Audio: `short` (1 s), `long` (20 s), `none` (no audio in it), `missing` (no file).
    """

    redis: RedisServer
    line: Relay | None
    producers_url: str
    stack: ExitStack
    recorder: Recorder
    clips: dict[str, Path]

    def prepare(self) -> None:
        """Make the audio files and set the load to its defaults."""
        self.clips = {name: self.folder / f"{name}.wav" for name in ("short", "long", "none", "missing")}
        clip(self.clips["short"], 1.0, seed=1)
        clip(self.clips["long"], 20.0, seed=2)
        self.clips["none"].write_bytes(b"this is no audio at all " * 20)
        self.interval = 1.0
        self.reading = True
        self.next_message: Callable[[int], Message] = self.good
        self.undo: list[Callable[[], object]] = []

    def good(self, _number: int = 0) -> dict[str, Any]:
        """A short job that completes."""
        return self.job(self.clips["short"], pace=4)

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Run a producer and a consumer."""
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
        """Wait until no jobs have waited on the queues for some seconds."""
        piled = re.compile(r'corti_queue_depth\{.*queue="corti\.(jobs|work)",state="waiting"\}')
        since = time.monotonic()

        def done() -> bool:
            nonlocal since
            page = self.recorder.recording.at(self.recorder.now())
            depths = [value for series, value in page.items() if piled.match(series)]
            # A single waiting job may just be on its way to a worker.
            if not depths or sum(depths) > 1:
                since = time.monotonic()
            return time.monotonic() - since > STEADY + 1

        self.until(done, timeout)

    def shown(self, condition: Callable[[Page], bool], timeout: float) -> None:
        """Wait until the last recorded samples meet a condition."""
        self.until(lambda: self.recorder.seen(condition), timeout)

    def pulse(self, number: int, stopped: float, running: float) -> None:
        """Stop and continue a worker in turns, as on an overloaded machine, until `recover` is called."""
        stop = threading.Event()
        process = self.workers[number].process

        def run() -> None:
            while not stop.wait(running):
                process.send_signal(signal.SIGSTOP)
                time.sleep(stopped)
                process.send_signal(signal.SIGCONT)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.undo += [thread.join, stop.set]  # `recover` calls these from the end of the list

    def recover(self) -> None:
        """Undo what the scene's own methods have started."""
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
                    box = _close(box)  # RabbitMQ would go on sending results to a consumer that does not read
            except _BROKEN:
                box = _close(box)
        _close(box)


def _close(box: queues.Queues | None) -> queues.Queues | None:
    """Close the queues, if any, and ignore a broken connection; always return None."""
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
    """Start Redis, a broker, the sandbox and two workers, and run the load and the recorder."""
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
        # Registered last, so that it runs first: a server that is paused would hold up all others that end.
        stack.callback(scene.recover)
        with scene.loaded():
            yield scene
