"""One server process: started with a log file, waited for, and ended by nobody but its parent."""

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
    """A server did not do what it was told; the message ends with the last lines of its log."""


class Server(ABC):
    """Starts with its context and is closed with it, also when the start fails."""

    @abstractmethod
    def start(self) -> Self:
        """Start it, and wait until it can be used."""

    @abstractmethod
    def close(self) -> None:
        """End it, and remove what it left; it cannot be started afterwards."""

    @abstractmethod
    def pause(self) -> None:
        """Freeze it: connections stay open, nothing answers."""

    @abstractmethod
    def resume(self) -> None:
        """Let it go on."""

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It is frozen in this context, and not a moment longer, also when a signal or an error ends it."""
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
    """A child that ends with this process; see `ops.lib.children`."""

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
        """The process id of the running server.

        Raises:
            ServerError: when it does not run.
        """
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"{self.name} is not running; start it first{self.log_tail()}")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives (a paused one lives)."""
        return self._process is not None and self._process.poll() is None

    def start(self, is_ready: Callable[[], bool], *, timeout_s: float) -> Self:
        """Start the process and return when `is_ready` says so.

        Raises:
            ServerError: when it ended, or was not ready in time (it is killed then).
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
        """End the process with SIGTERM; with SIGKILL when that takes too long."""
        if self._process is not None:
            self.resume()
            children.end(self._process, timeout_s)

    def kill(self) -> None:
        """End the process and its children at once, as a crash or the out-of-memory killer would."""
        if self._process is not None:
            children.kill(self._process)

    def pause(self) -> None:
        """Freeze the process with SIGSTOP: connections stay open and nothing answers."""
        os.killpg(self.pid, signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let a paused process go on."""
        if self._paused and self.running:
            os.killpg(self.pid, signal.SIGCONT)
        self._paused = False

    def log_tail(self) -> str:
        """The last lines of the log, ready to be appended to an error message."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        except OSError:
            return ""
        return "".join(["; its log ends with:", *(f"\n  {line}" for line in lines)]) if lines else ""
