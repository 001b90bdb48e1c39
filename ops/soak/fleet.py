"""The workers of a soak test, and a check of their `/livez`."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from ops.lib.worker_process import WorkerProcess

_EVERY = 1.0
_PATIENCE = 5.0
_AGAIN = 0.2
_OK = 200


class Watch:
    """Requests `/livez` of one worker every second, which is more often than a kubelet does.

    Args:
        worker: The worker.
        alarm: Called with a description when `/livez` fails although the process runs: a kubelet would kill
            the pod, and so interrupt its streams.
    """

    def __init__(self, worker: WorkerProcess, alarm: Callable[[str], None]) -> None:
        self._worker = worker
        self._alarm = alarm
        self._thread = threading.Thread(target=self._run, name="livez", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        name = self._worker.log_path.stem
        while self._alive():
            if self._serves():
                status, page = self._ask()
                if status != _OK and self._alive():
                    self._alarm(
                        f"{name}: /livez answered {status or 'nothing'}\n{page or self._worker.tail()}"
                    )
            time.sleep(_EVERY)

    def _ask(self) -> tuple[int, str]:
        """Return status and text of the answer; status 0 for no answer in the time that a kubelet waits."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            status, page = self._worker.get("/livez", timeout=max(_AGAIN, deadline - time.monotonic()))
            # A worker that stops closes its health server shortly before it ends.
            if status or not self._alive() or time.monotonic() > deadline:
                return status, page
            time.sleep(_AGAIN)

    def _serves(self) -> bool:
        # The last line of the log may be incomplete.
        with suppress(ValueError):
            return self._worker.health_port() is not None
        return False

    def _alive(self) -> bool:
        return self._worker.process.poll() is None


class Fleet:
    """A constant number of workers.

    Args:
        size: Number of workers.
        settings: Their environment variables.
        folder: Directory for their logs.
        alarm: See `Watch`.
    """

    def __init__(
        self, size: int, settings: Mapping[str, str], folder: Path, alarm: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._alarm = alarm
        self._started = 0
        self._workers = [self._start() for _ in range(size)]
        self._leaving: list[WorkerProcess] = []

    def replace(self, *, kill: bool, skew: float = 0) -> None:
        """End the oldest worker and start another.

        Args:
            kill: Whether to send SIGKILL instead of SIGTERM.
            skew: Seconds by which the clock of the new worker is fast.
        """
        oldest = self._workers.pop(0)
        if kill:
            oldest.kill()
        else:
            oldest.process.terminate()
        self._leaving.append(oldest)
        self._workers.append(self._start(skew))

    def mend(self) -> list[str]:
        """Replace workers that ended by themselves; return their exit statuses and the ends of their logs."""
        words = []
        for worker in [one for one in self._workers if one.process.poll() is not None]:
            words.append(f"{worker.log_path.stem}, status {worker.process.returncode}\n{worker.tail()}")
            self._workers[self._workers.index(worker)] = self._start()
            self._leaving.append(worker)
        return words

    def forced(self) -> int:
        """Return how many stopped workers did not end by themselves within the grace period."""
        return sum((worker.process.returncode or 0) > 0 for worker in self._leaving)

    def close(self) -> None:
        """End all workers."""
        for worker in (*self._leaving, *self._workers):
            worker.close()

    def _start(self, skew: float = 0) -> WorkerProcess:
        self._started += 1
        log = self._folder / f"worker-{self._started}.log"
        if skew:
            settings = {**self._settings, "SOAK_CLOCK_SKEW": str(skew)}
            worker = WorkerProcess(settings, log, module="ops.soak.skewed_worker")
        else:
            worker = WorkerProcess(self._settings, log)
        Watch(worker, self._alarm)
        return worker
