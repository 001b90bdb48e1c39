"""A demo installation and its load, for the pictures of the dashboards."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from ops.lib import queues
from ops.lib.ports import PortClaim
from ops.lib.servers import RedisServer
from ops.lib.worker_process import WorkerProcess, sandbox_settings
from ops.sandbox import launch

_SAMPLE = Path(__file__).resolve().parents[1] / "sample"
PODS = ("worker-a", "worker-b")
_SLOTS = 6
_PACE = 4.0
#: Jobs put per second. Two workers of six slots end about 1.6 such jobs per second at this pace.
_JOBS_A_SECOND = 1.2
_BURST = 25
#: A second tenant, to which every third good job belongs: name (also its realm), client id, client secret.
_CLINIC = ("clinic-b", "clinic-b-client", "clinic-b-secret")
_THIRD = 3


@dataclass(slots=True)
class Installation:
    """The processes of the demo installation, and ways to disturb and repair them.

    Attributes:
        settings: The workers' environment variables, without the health port.
        ports: Health port of each worker, by name.
        folder: Directory for audio, logs and tenants.
        sandbox: The service.
        box: Access to the queues.
        workers: The started workers, by name.
        started: A number that makes the names of jobs and logs unique.
    """

    settings: dict[str, str]
    ports: dict[str, int]
    folder: Path
    sandbox: launch.Sandbox
    box: queues.Queues
    workers: dict[str, WorkerProcess] = field(default_factory=dict)
    started: int = 0

    def start(self, pod: str) -> None:
        """Start a worker under this name."""
        self.started += 1
        own = {"CORTI_WORKER_HEALTH_PORT": str(self.ports[pod])}
        log = self.folder / f"{pod}-{self.started}.log"
        self.workers[pod] = WorkerProcess({**self.settings, **own}, log).ready()

    def kill(self, pod: str) -> None:
        """Kill the worker by SIGKILL."""
        self.workers[pod].kill()

    def drain(self, pod: str) -> None:
        """Send SIGTERM to the worker and return at once."""
        self.workers[pod].process.terminate()

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers.values():
            worker.close()

    def withdraw(self) -> None:
        """Withdraw the second tenant's credentials."""
        self.sandbox.fault("rotate_secret", secret=uuid4().hex, tenant=_CLINIC[0])
        self.sandbox.fault("revoke_tokens")

    def grant(self) -> None:
        """Make the second tenant's credentials valid again."""
        self.sandbox.fault("rotate_secret", secret=_CLINIC[2], tenant=_CLINIC[0])

    def put(self, kind: str, count: int = 1) -> None:
        """Put messages: `good` jobs, `bad` jobs (a file without audio) or `refused` (invalid) messages."""
        for _ in range(count):
            self.started += 1
            name = "bad.wav" if kind == "bad" else "good.wav"
            job: dict[str, Any] = {
                "job_id": f"{kind}-{self.started}",
                "audio": {"uri": (self.folder / name).as_uri()},
                "transcription": {"language": "en"},
                "pace": _PACE,
                "events": ["facts"],
            }
            if kind == "good" and self.started % _THIRD == 0:
                job["tenant"] = _CLINIC[0]
            self.box.put(json.dumps(job if kind != "refused" else {"job_id": "x"}).encode())


@contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    """Start Redis, the sandbox and two workers, and end them afterwards. `folder` gets their files."""
    with ExitStack() as stack:
        (folder / "good.wav").write_bytes((_SAMPLE / "consultation.wav").read_bytes())
        (folder / "bad.wav").write_bytes(b"this is no audio " * 20)
        claim = PortClaim(len(PODS))
        stack.callback(claim.release)
        tenant = folder / "tenants" / _CLINIC[0]
        tenant.mkdir(parents=True)
        (tenant / "client-id").write_text(_CLINIC[1])
        (tenant / "client-secret").write_text(_CLINIC[2])
        redis = stack.enter_context(RedisServer())
        # Tokens have a short lifetime, so that a run of a minute shows how they are renewed.
        sandbox = stack.enter_context(
            launch.start(
                script=_SAMPLE / "dialogue.json",
                facts_every=5,
                token_seconds=40,
                extra_arguments=("--client", ":".join(_CLINIC)),
            )
        )
        settings = {
            **sandbox_settings(sandbox.info),
            "CORTI_WORKER_TENANTS_DIR": str(tenant.parent),
            "CORTI_WORKER_BROKER_URL": redis.url,
            "CORTI_WORKER_AUDIO_ROOT": str(folder.resolve()),
            "CORTI_WORKER_SLOTS": str(_SLOTS),
            "CORTI_WORKER_LEASE": "6",
            "CORTI_WORKER_VISIBILITY_TIMEOUT": "8",
            "CORTI_WORKER_GRACE": "10",
            "CORTI_WORKER_RETRY_BASE": "0.5",
        }
        box = stack.enter_context(queues.connect(redis.url))
        ours = Installation(settings, dict(zip(PODS, claim.ports, strict=True)), folder, sandbox, box)
        stack.callback(ours.close)
        for pod in PODS:
            ours.start(pod)
        stop = threading.Event()
        reader = threading.Thread(target=_read, args=(redis.url, stop))
        reader.start()
        stack.callback(reader.join)
        stack.callback(stop.set)
        yield ours


def busy(ours: Installation, seconds: float, say: Callable[[str], None]) -> None:
    """Put jobs steadily for `seconds`, and cause the faults that the dashboards show; `say` reports each."""
    story: list[tuple[float, str, Callable[[], None]]] = [
        (0.10, "a producer sends invalid messages", lambda: ours.put("refused", 3)),
        (0.20, "files without audio", lambda: ours.put("bad", 4)),
        (0.30, "connections break", lambda: ours.sandbox.fault("drop_socket", after_seconds=6.0, count=6)),
        (0.40, "many jobs at once", lambda: ours.put("good", _BURST)),
        (0.55, "a worker is killed", lambda: ours.kill("worker-b")),
        (0.65, "a new worker replaces it", lambda: ours.start("worker-b")),
        (0.68, "a tenant's credentials are withdrawn", ours.withdraw),
        (0.74, "the credentials are valid again", ours.grant),
        (0.75, "the API refuses some requests", lambda: ours.sandbox.fault("api_error", status=503, count=8)),
        (0.85, "a worker is told to stop", lambda: ours.drain("worker-b")),
    ]
    began = time.monotonic()
    put = 0
    while (gone := time.monotonic() - began) < seconds:
        while story and gone >= story[0][0] * seconds:
            _, what, happen = story.pop(0)
            say(f"{gone:3.0f} s  {what}")
            happen()
        # No jobs in the last 15 % of the time, so that the picture shows how the last jobs end.
        if put < gone * _JOBS_A_SECOND and gone < 0.85 * seconds:
            ours.put("good")
            put += 1
        time.sleep(0.1)


def _read(url: str, stop: threading.Event) -> None:
    """Fetch results every four seconds, as an EHR."""
    with queues.connect(url) as box:
        while not stop.wait(4.0):
            while box.take(queues.RESULTS, 0.01) is not None:
                pass
