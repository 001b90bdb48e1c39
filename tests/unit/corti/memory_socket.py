"""A stream without a network: a socket in memory, and a model of the service behind it."""

from socket import socket
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from tests.unit.protocol.service_model import ServiceModel


class MemorySocket:
    """A non-blocking socket whose other end is a list of bytes.

    Attributes:
        room: How many bytes the socket accepts before it would block.
        sent: The bytes that it has accepted.
        inbox: Pieces that can be received; an empty piece is the end of the connection.
    """

    def __init__(self) -> None:
        self.room = 1 << 30
        self.sent = bytearray()
        self.inbox: list[bytes] = []
        self.broken = False
        self.closed = False

    def send(self, data: bytes) -> int:
        if self.broken:
            raise ConnectionResetError
        size = min(self.room, len(data))
        if size == 0:
            raise BlockingIOError
        self.room -= size
        self.sent += data[:size]
        return size

    def recv_into(self, buffer: memoryview) -> int:
        if self.broken:
            raise ConnectionResetError
        if not self.inbox:
            raise BlockingIOError
        data = self.inbox.pop(0)
        buffer[: len(data)] = data
        return len(data)

    def fileno(self) -> int:
        return -1

    def shutdown(self, how: int) -> None:
        if self.closed or self.broken:
            raise OSError
        assert how == 2

    def close(self) -> None:
        self.closed = True

    @property
    def as_socket(self) -> socket:
        """The same object, for a signature that wants a socket."""
        return cast("socket", self)


class Service:
    """The service's end of a memory socket: reads frames, and sends the model's answers."""

    def __init__(self, sock: MemorySocket, every: int) -> None:
        self.model = ServiceModel(every)
        self.pings = 0
        self._sock = sock
        self._protocol = Protocol(SERVER, state=OPEN, max_size=None)

    def turn(self) -> bool:
        """Read what was sent and answer it; return whether there was anything."""
        data = bytes(self._sock.sent)
        self._sock.sent.clear()
        if data:
            self._protocol.receive_data(data)
            assert self._protocol.parser_exc is None
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            for answer in self._answers(event):
                self._protocol.send_text(answer.encode())
        self._deliver()
        return bool(data)

    def close(self, code: int) -> None:
        """Send a close frame from the service's side."""
        self._protocol.send_close(code)
        self._deliver()

    def hang_up(self) -> None:
        """Drop the connection without a close frame."""
        self._sock.inbox.append(b"")

    def _answers(self, frame: Frame) -> list[str]:
        if frame.opcode is Opcode.TEXT:
            return self.model.text(bytes(frame.data).decode())
        if frame.opcode is Opcode.BINARY:
            return self.model.audio(bytes(frame.data))
        if frame.opcode is Opcode.PING:
            self.pings += 1
        if frame.opcode is Opcode.CLOSE:
            self.model.closed(1000)
        return []

    def _deliver(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            self._sock.inbox.append(data)
