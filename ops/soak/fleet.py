"""The workers of a soak, and what their `/livez` says."""

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
    """Asks one worker's `/livez` each second, as a kubelet does more seldom.

    Args:
        worker: Whose.
        alarm: Told when it fails though the process lives: a kubelet would kill the pod with its streams.
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
        """Its answer; 0 when there was none for as long as a kubelet would wait."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            status, page = self._worker.get("/livez", timeout=max(_AGAIN, deadline - time.monotonic()))
            # A worker that stops closes this server a moment before it ends.
            if status or not self._alive() or time.monotonic() > deadline:
                return status, page
            time.sleep(_AGAIN)

    def _serves(self) -> bool:
        # The last line of the log may be half written.
        with suppress(ValueError):
            return self._worker.health_port() is not None
        return False

    def _alive(self) -> bool:
        return self._worker.process.poll() is None


class Fleet:
    """A number of workers that is kept up.

    Args:
        size: How many.
        settings: Their settings.
        folder: For their logs.
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
            kill: With SIGKILL instead of SIGTERM.
            skew: Seconds by which the new one's clock is wrong.
        """
        oldest = self._workers.pop(0)
        if kill:
            oldest.kill()
        else:
            oldest.process.terminate()
        self._leaving.append(oldest)
        self._workers.append(self._start(skew))

    def mend(self) -> list[str]:
        """Replace workers that ended without being told to; their last words."""
        words = []
        for worker in [one for one in self._workers if one.process.poll() is not None]:
            words.append(f"{worker.log_path.stem}, status {worker.process.returncode}\n{worker.tail()}")
            self._workers[self._workers.index(worker)] = self._start()
            self._leaving.append(worker)
        return words

    def forced(self) -> int:
        """How many that were told to stop did not end within their grace period by themselves."""
        return sum((worker.process.returncode or 0) > 0 for worker in self._leaving)

    def close(self) -> None:
        """End all of them."""
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
