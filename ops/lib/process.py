"""Base class of the test servers, and one server process with a log file."""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from ops.lib import children

_POLL_S = 0.02
_TAIL_LINES = 25


class ServerError(RuntimeError):
    """A server failed to start or to do an operation; some messages end with the last lines of its log."""


class Server(ABC):
    """A server as a context manager: `start` on entry, `close` on exit and after a failed start."""

    @abstractmethod
    def start(self) -> Self:
        """Start the server and wait until it is ready."""

    @abstractmethod
    def close(self) -> None:
        """End the server and delete its files; it cannot be started again."""

    @abstractmethod
    def pause(self) -> None:
        """Stop the server's processes with SIGSTOP: connections stay open, but the server does not answer."""

    @abstractmethod
    def resume(self) -> None:
        """Continue after `pause`."""

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Pause the server on entry and resume it on exit, also after an exception."""
        try:
            self.pause()
            yield
        finally:
            self.resume()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


class ServerProcess:
    """A server as a child process that ends with this process; see `ops.lib.children`.

    Args:
        name: For messages.
        command: Program and arguments.
        log: The file that gets its stdout and stderr.
        env: All its environment variables; by default those of this process.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._command = tuple(command)
        self._env = dict(env) if env is not None else None
        self._process: children.Child | None = None
        self._paused = False

    @property
    def pid(self) -> int:
        """Process id of the running server.

        Raises:
            ServerError: It does not run.
        """
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"{self.name} is not running; start it first{self.log_tail()}")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process runs; true also while it is paused."""
        return self._process is not None and self._process.poll() is None

    def start(self, is_ready: Callable[[], bool], *, timeout_s: float) -> Self:
        """Start the process and wait until `is_ready` returns true; do nothing if it runs already.

        Raises:
            ServerError: It ended, or was killed because it was not ready within `timeout_s` seconds.
        """
        if self.running:
            return self
        with self.log.open("ab") as log:
            self._process = children.start(self._command, stdout=log, stderr=log, env=self._env)
        self._paused = False
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if self._process.poll() is not None:
                code = self._process.returncode
                raise ServerError(f"{self.name} ended with code {code} while starting{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.name} was not ready within {timeout_s:g} s{self.log_tail()}")
            time.sleep(_POLL_S)
        return self

    def stop(self, *, timeout_s: float = 20.0) -> None:
        """End the process with SIGTERM, and with SIGKILL after `timeout_s` seconds."""
        if self._process is not None:
            self.resume()
            children.end(self._process, timeout_s)

    def kill(self) -> None:
        """End the process group with SIGKILL, as a crash or the out-of-memory killer would."""
        if self._process is not None:
            children.kill(self._process)

    def pause(self) -> None:
        """Send SIGSTOP to the process group: connections stay open, but the server does not answer."""
        os.killpg(self.pid, signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Continue a paused process."""
        if self._paused and self.running:
            os.killpg(self.pid, signal.SIGCONT)
        self._paused = False

    def log_tail(self) -> str:
        """The last lines of the log, as a suffix for an error message; empty without a log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        except OSError:
            return ""
        return "".join(["; its log ends with:", *(f"\n  {line}" for line in lines)]) if lines else ""
