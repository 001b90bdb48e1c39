"""The workers of a soak."""

from collections.abc import Mapping
from pathlib import Path

from ops.lib.worker_process import WorkerProcess


class Fleet:
    """A number of workers that is kept up.

    Args:
        size: How many.
        settings: Their settings.
        folder: For their logs.
    """

    def __init__(self, size: int, settings: Mapping[str, str], folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._started = 0
        self._workers = [self._start() for _ in range(size)]
        self._leaving: list[WorkerProcess] = []

    def replace(self, *, kill: bool) -> None:
        """End the oldest worker and start another."""
        oldest = self._workers.pop(0)
        if kill:
            oldest.kill()
        else:
            oldest.process.terminate()
        self._leaving.append(oldest)
        self._workers.append(self._start())

    def died(self) -> list[str]:
        """The last words of workers that ended without being told to."""
        return [worker.tail() for worker in self._workers if worker.process.poll() is not None]

    def close(self) -> None:
        """End all of them."""
        for worker in (*self._leaving, *self._workers):
            worker.close()

    def _start(self) -> WorkerProcess:
        self._started += 1
        return WorkerProcess(self._settings, self._folder / f"worker-{self._started}.log")
