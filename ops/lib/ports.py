"""Reserves ports of 127.0.0.1, so that a server finds its port free after a restart."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from io import FileIO
from pathlib import Path

LOWEST_PORT = 20_000
HIGHEST_PORT = 32_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class NoFreePortError(RuntimeError):
    """There are not enough free ports; end servers of earlier runs and try again."""


class PortClaim:
    """Reserves `count` ports of 127.0.0.1 against other processes that use `PortClaim`.

    A server must find its port free at a restart. An outgoing connection cannot take it, because the range is
    below the kernel's ephemeral ports. Another test run cannot take it, because each port has a locked file.
    The kernel releases the lock when the process ends for any reason.

    Raises:
        NoFreePortError: There are not enough free ports.
    """

    def __init__(self, count: int = 1) -> None:
        self._locks: list[FileIO] = []
        self.ports: tuple[int, ...] = ()
        found: list[int] = []
        for port in _candidates():
            lock = _try_lock(port)
            if lock is None:
                continue
            if not is_port_free(port):
                lock.close()
                continue
            self._locks.append(lock)
            found.append(port)
            if len(found) == count:
                self.ports = tuple(found)
                return
        self.release()
        message = f"needed {count} free ports of 127.0.0.1, found {len(found)}; end old servers and try again"
        raise NoFreePortError(message)

    def release(self) -> None:
        """Release the ports; may be called more than once."""
        while self._locks:
            self._locks.pop().close()


def is_port_free(port: int) -> bool:
    """Tell whether a server can listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this option, too: a port with old connections in TIME_WAIT is free for them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _candidates() -> list[int]:
    """All ports of the range in random order, so that parallel runs seldom try the same port."""
    highest = HIGHEST_PORT
    with contextlib.suppress(OSError, ValueError, IndexError):
        highest = min(highest, int(_EPHEMERAL_RANGE.read_text().split()[0]))
    if highest - LOWEST_PORT < 100:  # noqa: PLR2004 - a wide ephemeral range; only locks protect then
        highest = HIGHEST_PORT
    ports = list(range(LOWEST_PORT, highest))
    random.SystemRandom().shuffle(ports)
    return ports


def _try_lock(port: int) -> FileIO | None:
    directory = Path(tempfile.gettempdir()) / f"corti-worker-ports-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    lock = FileIO(directory / str(port), "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock
