"""Opened audio as bytes, the same for every kind of source."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.protocol.pace import Read

#: Reads at an offset: takes the offset and the most bytes to return.
ReadAt = Callable[[int, int], bytes]


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
    """

    read: Read
    media_type: str | None
    at_hand: bool
    read_now: Read | None = None
    heard: Callable[[float], None] | None = None
    size: int | None = None
    read_at: ReadAt | None = None


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
