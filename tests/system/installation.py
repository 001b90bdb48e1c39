"""An installation: methods for what an EHR does (put jobs, take results) and an operator (start workers)."""

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

from ops.lib import queues
from ops.lib.worker_process import WorkerProcess, sandbox_settings
from ops.sandbox import launch

#: The repository: the code of the version under test.
HERE = Path(__file__).resolve().parents[2]
FINAL = {"corti.job.completed.v1", "corti.job.failed.v1"}


class Installation:
    """One broker, one Redis, one sandbox, any number of workers."""

    def __init__(
        self,
        broker_url: str,
        redis_url: str,
        sandbox: launch.Sandbox,
        box: queues.Queues,
        folder: Path,
        stack: ExitStack,
    ) -> None:
        self.broker_url = broker_url
        self.broker = "redis" if broker_url.startswith("redis") else "rabbitmq"
        self.sandbox = sandbox
        self.box = box
        self.folder = folder
        self.workers: list[WorkerProcess] = []
        self._stack = stack
        self.settings = {
            **sandbox_settings(sandbox.info),
            "CORTI_WORKER_BROKER_URL": broker_url,
            "CORTI_WORKER_REDIS_URL": redis_url,
            "CORTI_WORKER_RETRY_BASE": "0.2",
            # Tests keep their audio in pytest's temporary folders, which can be anywhere.
            "CORTI_WORKER_AUDIO_ROOT": "/",
        }

    def start_worker(self, **settings: object) -> WorkerProcess:
        """Start a worker; the names of `settings` are in lower case and without the prefix CORTI_WORKER_."""
        return self._start("run", settings, HERE)

    def start_faulty(self, **settings: object) -> WorkerProcess:
        """Start a worker with a bug: see tests/system/faulty_worker.py."""
        return self._start("run", settings, HERE, "tests.system.faulty_worker")

    def start_version(self, source: Path, **settings: object) -> WorkerProcess:
        """Start a worker whose code lies in `source`."""
        return self._start("run", settings, source)

    def start_door(self, source: Path = HERE) -> WorkerProcess:
        """Start `corti-worker door`, a process that takes messages in and runs no jobs."""
        return self._start("door", {}, source)

    def _start(
        self, command: str, settings: dict[str, object], source: Path, module: str = "worker"
    ) -> WorkerProcess:
        own = {f"CORTI_WORKER_{name.upper()}": str(value) for name, value in settings.items()}
        log = self.folder / f"worker-{len(self.workers)}.log"
        return self.join(WorkerProcess({**self.settings, **own}, log, (command,), source, module))

    def join(self, worker: WorkerProcess) -> WorkerProcess:
        """Make a started worker part of the installation, so that the worker ends with it."""
        self.workers.append(self._stack.enter_context(worker))
        return worker

    def end_workers(self) -> None:
        """End all workers now: before proxies and users that the test made for them are removed."""
        for worker in self.workers:
            worker.close()

    def job(self, audio: Path, **changes: Any) -> dict[str, Any]:
        """A job for an audio file."""
        return {
            "job_id": f"job-{uuid4()}",
            "audio": {"uri": audio.as_uri()},
            "transcription": {"language": "en"},
            **changes,
        }

    def put(self, *jobs: dict[str, Any] | bytes, queue: str = queues.JOBS) -> None:
        """Put jobs, or raw bytes, on a queue."""
        bodies = [job if isinstance(job, bytes) else json.dumps(job).encode() for job in jobs]
        self.box.put(*bodies, queue=queue)

    def finals(self, count: int, timeout: float) -> dict[str, dict[str, Any]]:
        """Wait for `count` final events; return them by job id. Fail at once if a job has two."""
        found: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + timeout
        while len(found) < count:
            left = deadline - time.monotonic()
            body = self.box.take(queues.RESULTS, min(max(left, 0.01), 1.0)) if left > 0 else None
            if left <= 0:
                tails = "\n".join(worker.tail() for worker in self.workers)
                raise AssertionError(f"{len(found)} of {count} results after {timeout} s\n{tails}")
            event = json.loads(body) if body else None
            if event and event["type"] in FINAL:
                assert event["subject"] not in found, "a job has two results"
                found[event["subject"]] = event
        return found

    def events_until_final(self, timeout: float) -> list[dict[str, Any]]:
        """Every event up to the first final one, in order of arrival."""
        events: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            body = self.box.take(queues.RESULTS, 0.5)
            if body:
                events.append(json.loads(body))
                if events[-1]["type"] in FINAL:
                    return events
        raise AssertionError(f"no final event after {timeout} s")

    def no_more_finals(self, seconds: float) -> None:
        """Assert that no further final event comes within so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            body = self.box.take(queues.RESULTS, 0.5)
            assert body is None or json.loads(body)["type"] not in FINAL, "a job has two results"

    def dead(self, count: int, timeout: float) -> list[dict[str, Any]]:
        """Wait for `count` dead letters; return fewer if no more came in time."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout
        while len(found) < count and time.monotonic() < deadline:
            body = self.box.take(queues.DEAD, 1.0)
            if body:
                found.append(json.loads(body))
        return found

    def wait_for_streams(self, count: int, timeout: float = 40) -> None:
        """Wait until `count` streams are open at once and have sent some audio."""
        self.until(lambda: sum(record["audio_bytes"] > 0 for record in self.open_streams()) >= count, timeout)

    def open_streams(self) -> list[dict[str, Any]]:
        """The sandbox's records of streams that are open."""
        return [record for record in self.streams() if record["closed_at"] is None]

    def until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Wait until a condition is met."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                tails = "\n".join(worker.tail() for worker in self.workers)
                raise AssertionError(f"not within {timeout} s\n{tails}")
            time.sleep(0.1)

    def streams(self) -> list[dict[str, Any]]:
        """The sandbox's records of streams."""
        records: list[dict[str, Any]] = self.sandbox.stats()["streams"]
        return records

    def outcomes(self, finals: dict[str, dict[str, Any]]) -> Counter[str]:
        """How often each outcome occurred: `completed`, or the reason of a failure."""
        return Counter(event["data"].get("reason", "completed") for event in finals.values())
