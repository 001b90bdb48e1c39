"""A non-blocking socket with WebSocket framing on it. Belongs to the pacer's thread."""

import ssl
from contextlib import suppress
from socket import SHUT_RDWR, socket

from worker.corti.stream.frames import Closed, Framing, Received, audio_frame

#: What a socket may owe before it counts as dead: seconds of the fastest audio.
MAX_UNSENT = 512 * 1024
_READ_BYTES = 65536
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, InterruptedError)


class Wire:
    """One stream's socket: messages in, frames out, and a buffer for what the socket does not take.

    Args:
        sock: Connected, upgraded, non-blocking.
    """

    def __init__(self, sock: socket) -> None:
        self.sock = sock
        self.framing = Framing()
        self._unsent = b""
        self.broken = False

    @property
    def unsent(self) -> int:
        """Bytes that wait for the socket."""
        return len(self._unsent)

    def receive(self) -> list[Received]:
        """Read what has arrived. A lost connection shows as `Closed`."""
        received: list[Received] = []
        try:
            while True:
                data = self.sock.recv(_READ_BYTES)
                received += self.framing.receive(data)
                # A TLS record that is already decrypted never shows up in a poll of the socket.
                if not data or not isinstance(self.sock, ssl.SSLSocket) or not self.sock.pending():
                    return received
        except _WOULD_BLOCK:
            return received
        except OSError:
            return received + (self.framing.receive(b"") or [Closed(None)])

    def send_audio(self, data: bytes) -> None:
        """Send one binary message."""
        self._write(audio_frame(data))

    def flush(self) -> None:
        """Send what the framing has queued, and what waits."""
        queued = self.framing.to_send()
        if queued or self._unsent:
            self._write(queued)

    def close(self) -> None:
        """Close the socket."""
        with suppress(OSError):  # the peer may have been faster
            self.sock.shutdown(SHUT_RDWR)
        self.sock.close()

    def _write(self, data: bytes) -> None:
        if self._unsent:
            # OpenSSL wants a refused write repeated with the same bytes in front.
            data = self._unsent + data
        try:
            sent = self.sock.send(data)
        except _WOULD_BLOCK:
            sent = 0
        except OSError:
            self.broken = True
            sent = len(data)
        self._unsent = data[sent:]
