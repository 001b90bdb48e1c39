"""A non-blocking socket with WebSocket framing on it. Belongs to the pacer's thread."""

import ssl
from contextlib import suppress
from socket import SHUT_RDWR, socket

from worker.corti.stream.frames import Closed, Framing, Received

#: The read buffer of all streams. Only the pacer's thread reads.
_buffer = memoryview(bytearray(65536))
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, InterruptedError)


class Transport:
    """One stream's socket: messages in, frames out, and a buffer for what the socket does not take.

    Args:
        sock: Connected, upgraded, non-blocking.
    """

    __slots__ = ("_send", "_unsent", "broken", "framing", "sock")

    def __init__(self, sock: socket) -> None:
        self.sock = sock
        self.framing = Framing()
        self.broken = False
        self._send = sock.send
        self._unsent = b""

    @property
    def unsent(self) -> int:
        """Bytes that wait for the socket."""
        return len(self._unsent)

    def receive(self) -> list[Received]:
        """Read what has arrived. A lost connection shows as `Closed`."""
        received: list[Received] = []
        try:
            while True:
                # One buffer for all streams: the system would have to allocate a new one for each read.
                size = self.sock.recv_into(_buffer)
                received += self.framing.receive(_buffer[:size])
                # Data of a TLS record that is already decrypted does not show up in a poll of the socket.
                if not size or not isinstance(self.sock, ssl.SSLSocket) or not self.sock.pending():
                    return received
        except _WOULD_BLOCK:
            return received
        except OSError:
            return received + (self.framing.receive(b"") or [Closed(None)])

    def send(self, data: bytes) -> bool:
        """Send a frame, or the part of it that the socket takes now.

        Returns:
            Whether all is well: nothing waits, and the connection is not broken.
        """
        if self._unsent:
            # OpenSSL wants a refused write repeated with the same bytes in front.
            data = self._unsent + data
        try:
            sent = self._send(data)
        except _WOULD_BLOCK:
            sent = 0
        except OSError:
            self.broken = True
            self._unsent = b""
            return False
        if sent == len(data):
            self._unsent = b""
            return True
        self._unsent = data[sent:]
        return False

    def flush(self) -> bool:
        """Send what the framing has queued, and what waits. Returns like `send`."""
        queued = self.framing.to_send()
        return self.send(queued) if queued or self._unsent else not self.broken

    def close(self) -> None:
        """Close the socket; the last call."""
        self.framing.leave()
        with suppress(OSError):  # the peer may have been faster
            self.sock.shutdown(SHUT_RDWR)
        self.sock.close()
