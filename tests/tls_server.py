"""A TLS proxy in front of a real broker: it decrypts the clients' connections and passes their bytes on."""

import contextlib
import select
import socket
import ssl
import threading
from typing import Self

from ops.lib.ports import PortClaim


class TlsServer:
    """Listens on a port of its own; counts connections, handshakes and received bytes.

    Args:
        context: The server's certificate, and whether the server asks clients for one.
        target: The port of the broker.

    Attributes:
        connections: Number of connections.
        handshakes: Number of completed TLS handshakes.
        received: Number of bytes that clients sent after it; their passwords are among the first.
    """

    def __init__(self, context: ssl.SSLContext, target: int) -> None:
        self._context = context
        self._target = target
        self._claim = PortClaim()
        (self.port,) = self._claim.ports
        self.connections = 0
        self.handshakes = 0
        self.received = 0
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._claim.release()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        """Serve one client. Only this thread uses the TLS connection: OpenSSL allows no second thread."""
        # A ValueError comes if the test has ended and closed a socket that this thread was about to wait for.
        with contextlib.suppress(OSError, ValueError), plain:
            plain.settimeout(10)
            client = self._context.wrap_socket(plain, server_side=True)
            self.handshakes += 1
            client.settimeout(None)
            with client, socket.create_connection(("127.0.0.1", self._target)) as broker:
                self._open += [client, broker]
                self._pass_on(client, broker)

    def _pass_on(self, client: ssl.SSLSocket, broker: socket.socket) -> None:
        client.setblocking(False)
        broker.settimeout(10)
        while True:
            waiting = client.pending() > 0
            if not waiting:
                readable, _, _ = select.select([client, broker], [], [])
            else:
                readable = [client]
            if client in readable:
                try:
                    data = client.recv(65536)
                except ssl.SSLWantReadError:
                    data = None
                if data is not None:
                    if not data:
                        return
                    self.received += len(data)
                    broker.sendall(data)
            if broker in readable:
                answer = broker.recv(65536)
                if not answer:
                    return
                client.setblocking(True)
                client.sendall(answer)
                client.setblocking(False)
