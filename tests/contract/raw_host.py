"""A server on a plain socket, for behaviour that an HTTP library does not allow."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RawHost:
    """A server on 127.0.0.1.

    Attributes:
        port: The port on which it listens.
        asked: Set when the first bytes of a connection have arrived.
        over: Set when the test ends; a handler that stalls waits for this.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked = threading.Event()
        self.over = threading.Event()

    def url(self, scheme: str = "http") -> str:
        """The URL of a page."""
        return f"{scheme}://127.0.0.1:{self.port}/Ada-Lovelace"

    def drip(self, peer: socket.socket, seconds: float, data: bytes = b"\0") -> None:
        """Send a byte every so many seconds, until the client has closed the connection."""
        while not self.over.wait(seconds):
            try:
                peer.sendall(data)
            except OSError:
                return


@contextmanager
def raw_host(handler: Callable[[RawHost, socket.socket], None]) -> Iterator[RawHost]:
    """Serve connections, each on a thread of its own, once its first bytes have arrived."""

    def answer(peer: socket.socket) -> None:
        with peer:
            peer.recv(65536)
            host.asked.set()
            handler(host, peer)

    def serve() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        host = RawHost(listening.getsockname()[1])
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield host
        finally:
            host.over.set()
            listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: a connection to it is neither made nor refused."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port: int = listening.getsockname()[1]
        waiting = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            waiting.append(sock)
        try:
            yield port
        finally:
            for sock in waiting:
                sock.close()
