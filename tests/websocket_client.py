"""A WebSocket client for tests that one thread uses alone.

The library's own synchronous client reads in a thread of its own while the caller's thread writes. Two
threads that use one TLS socket at once sometimes corrupt its records. This client uses the library for the
protocol only, and all input and output happen in the test's own calls.
"""

import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosedOK
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

SECONDS = 10.0
_PIECE = 1 << 16
_ENDS_A_READ = (TimeoutError, BlockingIOError, ssl.SSLWantReadError)


class ClientSocket:
    """An open WebSocket; leaving the `with` block closes it.

    Args:
        url: A URL with `ws:` or `wss:`, with its query.
        context: The TLS context for `wss:`.
        compression: Whether to offer compression.

    Raises:
        InvalidStatus: The server refused the upgrade.
        TimeoutError: The server did not answer within `SECONDS`.
    """

    def __init__(self, url: str, context: ssl.SSLContext | None = None, *, compression: bool = True) -> None:
        uri = parse_uri(url)
        self._protocol = ClientProtocol(
            uri, extensions=[ClientPerMessageDeflateFactory()] if compression else None
        )
        self._upgraded = False
        self._frames: list[Frame] = []
        self._messages: deque[str | bytes] = deque()
        self._pings = 0
        #: The payloads of the server's pongs.
        self.pongs: set[bytes] = set()
        self.socket = socket.create_connection((uri.host, uri.port), timeout=SECONDS)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if uri.secure:
                assert context is not None, "wss: needs a context"
                self.socket = context.wrap_socket(self.socket, server_hostname=uri.host)
            self._upgrade()
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def close_code(self) -> int | None:
        """The close code, 1006 without a closing handshake; None while the connection is open."""
        return self._protocol.close_code

    def send(self, message: str | bytes | Sequence[str] | Sequence[bytes]) -> None:
        """Send one message; a sequence is one message in so many fragments.

        Raises:
            ConnectionClosed: The connection has ended.
        """
        # Read first: a close frame that has already arrived must be seen before the send fails because of it.
        self._read_what_is_here()
        self._raise_when_closing(unread=True)
        parts = [message] if isinstance(message, str | bytes) else message
        for number, part in enumerate(parts, start=1):
            data, last = part.encode() if isinstance(part, str) else part, number == len(parts)
            if number > 1:
                self._protocol.send_continuation(data, last)
            elif isinstance(part, str):
                self._protocol.send_text(data, last)
            else:
                self._protocol.send_binary(data, last)
        self._flush()
        self._raise_when_closing()

    def recv(self, seconds: float = SECONDS) -> str | bytes:
        """The next message.

        Raises:
            ConnectionClosed: The connection has ended.
            TimeoutError: Nothing came within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not self._messages:
            self._raise_when_closing()
            self._read(deadline)
        return self._messages.popleft()

    def until_closed(self) -> list[str | bytes]:
        """All messages up to an orderly close.

        Raises:
            ConnectionClosed: The connection ended in another way.
            TimeoutError: Nothing came within `SECONDS`.
        """
        messages = []
        try:
            while True:
                messages.append(self.recv())
        except ConnectionClosedOK:
            return messages

    def ping(self) -> bytes:
        """Send a ping; its payload is in `pongs` once the server's answer was read."""
        self._pings += 1
        payload = str(self._pings).encode()
        self._protocol.send_ping(payload)
        self._flush()
        return payload

    def answers_ping(self, seconds: float = SECONDS) -> bool:
        """Whether the server answers a ping within `seconds`; messages that arrive meanwhile are kept."""
        payload = self.ping()
        deadline = time.monotonic() + seconds
        try:
            while payload not in self.pongs:
                self._raise_when_closing()
                self._read(deadline)
        except TimeoutError:
            return False
        return True

    def drop(self) -> None:
        """Close the TCP connection without a closing handshake, as happens when a client dies."""
        self._protocol.receive_eof()
        self.socket.close()

    def close(self) -> None:
        """Close in order: the closing handshake, waiting at most `SECONDS` for the server, then TCP."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()
        self._wait_for_the_end()
        self.socket.close()

    def _upgrade(self) -> None:
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        deadline = time.monotonic() + SECONDS
        while not self._upgraded:
            if self._protocol.handshake_exc is not None:
                raise self._protocol.handshake_exc
            self._read(deadline)

    def _raise_when_closing(self, *, unread: bool = False) -> None:
        """Raise if the connection has ended; while messages are left to read, only if `unread` is set."""
        if self._protocol.state is not State.OPEN and (unread or not self._messages):
            self._wait_for_the_end()
            raise self._protocol.close_exc

    def _wait_for_the_end(self) -> None:
        deadline = time.monotonic() + SECONDS
        try:
            while self._protocol.state is not State.CLOSED:
                self._read(deadline)
        except TimeoutError:
            self._protocol.receive_eof()

    def _read(self, deadline: float) -> None:
        """Read what arrives before the deadline.

        Raises:
            TimeoutError: Nothing came.
        """
        if not self._receive(deadline - time.monotonic()):
            raise TimeoutError("the server sent nothing in time")

    def _read_what_is_here(self) -> None:
        while self._receive(0):
            pass

    def _receive(self, seconds: float) -> bool:
        """Hand the next bytes, or the end, to the protocol; return whether there was anything."""
        if self._protocol.state is State.CLOSED:
            return False
        try:
            self.socket.settimeout(max(0.0, seconds))
            data = self.socket.recv(_PIECE)
        except _ENDS_A_READ:
            return False
        except OSError:
            data = b""  # a reset ends the connection without a closing handshake
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._upgraded = self._protocol.handshake_exc is None
            elif isinstance(event, Frame):
                self._take(event)
        self._flush()
        return True

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self.pongs.add(bytes(frame.data))
        elif frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            self._frames.append(frame)
            if frame.fin:
                data = b"".join(bytes(one.data) for one in self._frames)
                self._messages.append(data.decode() if self._frames[0].opcode is Opcode.TEXT else data)
                self._frames.clear()

    def _flush(self) -> None:
        try:
            self.socket.settimeout(SECONDS)
            for data in self._protocol.data_to_send():
                if data:
                    self.socket.sendall(data)
        except OSError:
            # The peer has closed the connection; the bytes that it sent before are still to be read.
            self._read_what_is_here()
            self._protocol.receive_eof()
