"""Opened audio as bytes, the same for every kind of source."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.contract.errors import PermanentError, Reason
from worker.protocol.pace import Chunk, Read

_BLOCK = 16 * 1024

#: Reads at an offset: takes the offset and the most bytes to return.
ReadAt = Callable[[int, int], bytes]
#: Makes a call and returns what it returns.
Waiting = Callable[[Callable[[], bytes]], bytes]


@dataclass(frozen=True, slots=True)
class Source:
    """Opened audio.

    Attributes:
        read: Gives its bytes, once and in order.
        media_type: What the server says their type is.
        at_hand: Whether reading never waits for a network.
        read_now: Reads exactly so many bytes, or raises BlockingIOError if that would take waiting.
        heard: To be called with the seconds of audio that were read; None if the source needs no call.
        size: Bytes in all, if that is known.
        read_at: Reads up to so many bytes at an offset, whatever `read` has given; fewer bytes mean the end.
            None where bytes come only in order. Waits and fails like `read`.
        waiting: Makes a read that may hang, and ends the waiting at an interrupt. None where each read
            does so by itself.
    """

    read: Read
    media_type: str | None
    at_hand: bool
    read_now: Read | None = None
    heard: Callable[[float], None] | None = None
    size: int | None = None
    read_at: ReadAt | None = None
    waiting: Waiting | None = None


def reader(blocks: Iterator[bytes]) -> Read:
    """Make a `Read` function from blocks of any size."""
    rest = b""

    def read(size: int) -> bytes:
        nonlocal rest
        while not rest:
            block = next(blocks, None)
            if block is None:
                return b""
            rest = block
        data, rest = rest[:size], rest[size:]
        return data

    return read


def to_the_end(chunks: Iterator[Chunk], read: Read) -> Iterator[Chunk]:
    """The chunks; then everything that follows them is read, because a hash covers the whole file."""
    yield from chunks
    while read(_BLOCK):
        pass


def verified(read: Read, expected: str) -> Read:
    """Wrap `read`: at the end of the data, compare its SHA-256 with the one the producer gave.

    Raises:
        PermanentError: `audio_mismatch`, from the wrapped function.
    """
    digest = hashlib.sha256()

    def checked(size: int) -> bytes:
        data = read(size)
        digest.update(data)
        if not data and digest.hexdigest() != expected.lower():
            raise PermanentError(Reason.AUDIO_MISMATCH, "the audio's SHA-256 is not audio.sha256")
        return data

    return checked
