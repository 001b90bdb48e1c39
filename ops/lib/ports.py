"""Ports of 127.0.0.1 that stay ours for as long as a server may want them back."""

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
    """No free port was found; end servers left over from earlier runs and try again."""


class PortClaim:
    """Holds ports of 127.0.0.1 against every other process that claims ports the same way.

    A server that is restarted must find its old port free. Two things could take it meanwhile: an
    outgoing connection, which is why the range lies below the kernel's ephemeral ports, and another
    test run, which is why each port has a locked file. The kernel drops the lock when the process
    ends, however it ends.
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
        """Give the ports back; calling it twice is harmless."""
        while self._locks:
            self._locks.pop().close()


def is_port_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers themselves do: a port whose old connections linger in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _candidates() -> list[int]:
    """All ports below the ephemeral range in an order of chance, so that parallel runs seldom meet."""
    highest = HIGHEST_PORT
    with contextlib.suppress(OSError, ValueError, IndexError):
        highest = min(highest, int(_EPHEMERAL_RANGE.read_text().split()[0]))
    if highest - LOWEST_PORT < 100:  # noqa: PLR2004 - someone widened the ephemeral range; locks must do
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
