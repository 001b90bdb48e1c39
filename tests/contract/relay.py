"""A TCP relay in front of a real server, with which a test can cut and restore the connection at once."""

import contextlib
import socket
import threading
from typing import Self

from ops.lib.ports import PortClaim


class Relay:
    """Listens on a port of its own and passes bytes on, both ways.

    Args:
        target: The server's port.
        url: A URL with that port; `self.url` is the same URL with the relay's port.
    """

    def __init__(self, target: int, url: str) -> None:
        self._target = target
        self._claim = PortClaim()
        (self.port,) = self._claim.ports
        self.url = url.replace(f":{target}/", f":{self.port}/")
        assert self.url != url
        self._listener: socket.socket | None = None
        self._acceptor = threading.Thread()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._pumps: list[threading.Thread] = []
        self._flows = threading.Event()
        self._flows.set()

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._claim.release()

    def mend(self) -> None:
        """Accept connections."""
        assert self._listener is None
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self._acceptor.join()
        self.thaw()
        self.break_connections()
        for pump in self._pumps:
            pump.join()
        self._pumps.clear()
        for pair in self._pairs:
            for end in pair:
                end.close()
        self._pairs.clear()

    def break_connections(self) -> None:
        """Break every connection, but accept new ones."""
        for pair in tuple(self._pairs):
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Keep every connection, accept new ones, and pass nothing on."""
        self._flows.clear()

    def thaw(self) -> None:
        """Pass on the bytes that have waited, and all that follow."""
        self._flows.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._target))
            self._pairs.append((here, there))
            for ends in ((here, there), (there, here)):
                pump = threading.Thread(target=self._pump, args=ends, daemon=True)
                self._pumps.append(pump)
                pump.start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
