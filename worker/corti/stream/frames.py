"""WebSocket frames (RFC 6455) without I/O: audio frames are built here, `websockets` handles all others.

Audio frames are the hot path: four a second for each stream. Built here they cost one C call for
the mask and no allocation beyond the frame; the protocol object's general way costs several times that.
"""

import logging
import secrets
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.speedups import apply_mask

#: The largest message that is accepted; no transcript or facts message that we know is larger.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_BINARY_FINAL = 0x82
_MASKED = 0x80
_SHORT, _MEDIUM = 126, 65536

#: The protocol object would log each frame's content at DEBUG. This logger's level is above all that exist.
_silent = logging.getLogger(f"{__name__}.silent")
_silent.setLevel(logging.CRITICAL + 1)


@lru_cache(maxsize=64)
def _head(size: int) -> bytes:
    if size < _SHORT:
        return struct.pack("!BB", _BINARY_FINAL, _MASKED | size)
    if size < _MEDIUM:
        return struct.pack("!BBH", _BINARY_FINAL, _MASKED | 126, size)
    return struct.pack("!BBQ", _BINARY_FINAL, _MASKED | 127, size)


class _Masks:
    """Unpredictable masking keys (RFC 6455, section 5.3), taken from the kernel 4096 bytes at a time."""

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def next(self) -> bytes:
        at = self._at
        if at >= len(self._pool):
            self._pool, at = secrets.token_bytes(4096), 0
        self._at = at + 4
        return self._pool[at : at + 4]


_masks = _Masks()


def audio_frame(data: bytes) -> bytes:
    """One binary message as a masked frame. For the pacer's thread only."""
    mask = _masks.next()
    return b"".join((_head(len(data)), mask, apply_mask(data, mask)))


class TextMessage(NamedTuple):
    """A whole text (or binary) message, fragments joined."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Alive:
    """A control frame that shows that the peer is there."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer closed, or broke the protocol; `code` is None without a close frame."""

    code: int | None


Received = TextMessage | Alive | Closed


class Framing:
    """The WebSocket of one stream after its handshake: turns bytes into messages, and messages into bytes."""

    def __init__(self) -> None:
        self._protocol = Protocol(CLIENT, state=OPEN, max_size=MAX_MESSAGE_BYTES, logger=_silent)
        self._parts: list[bytes] = []
        self._closed = False

    def receive(self, data: bytes | memoryview) -> list[Received]:
        """Decode bytes from the socket; empty bytes mean its end. `data` is not kept."""
        if data:
            self._protocol.receive_data(data)  # type: ignore[arg-type]  # copied into a bytearray at once
        else:
            self._protocol.receive_eof()
        received = [item for event in self._protocol.events_received() if (item := self._item(event))]
        if not self._closed and (self._protocol.close_rcvd or self._protocol.parser_exc or not data):
            self._closed = True
            code = self._protocol.close_rcvd.code if self._protocol.close_rcvd else None
            received.append(Closed(code))
        return received

    def _item(self, event: object) -> Received | None:
        assert isinstance(event, Frame)  # noqa: S101  # after the handshake there are only frames
        opcode = event.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY or opcode is Opcode.CONT:
            if event.fin and not self._parts:
                return TextMessage(bytes(event.data))
            self._parts.append(bytes(event.data))
            if not event.fin:
                return None
            message, self._parts = b"".join(self._parts), []
            return TextMessage(message)
        return Alive() if opcode is Opcode.PONG else None

    def text(self, text: str) -> None:
        """Queue a text message."""
        if self._protocol.state is OPEN:
            self._protocol.send_text(text.encode())

    def ping(self) -> None:
        """Queue a ping."""
        if self._protocol.state is OPEN:
            self._protocol.send_ping(b"corti-worker")

    def close(self) -> None:
        """Queue a close frame with code 1000, unless there was one."""
        if self._protocol.state is OPEN:
            self._protocol.send_close(1000)

    def leave(self) -> None:
        """Close the parser; the last call. Otherwise a reference cycle would keep this object in memory."""
        self._protocol.parser.close()

    def to_send(self) -> bytes:
        """Bytes to send now: queued frames, and the answers that the protocol itself owes the peer."""
        return b"".join(self._protocol.data_to_send())
