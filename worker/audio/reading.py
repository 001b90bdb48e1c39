"""Opened audio as bytes, the same for every kind of source."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.protocol.pace import Read


@dataclass(frozen=True, slots=True)
class Source:
    """Opened audio.

    Attributes:
        read: Gives its bytes, once and in order.
        media_type: What the server says their type is.
        at_hand: Whether reading never waits for a network.
        read_now: Reads exactly so many bytes, or raises BlockingIOError if that would take waiting.
        heard: To be called with the seconds of audio that were read; None if the source needs no call.
    """

    read: Read
    media_type: str | None
    at_hand: bool
    read_now: Read | None = None
    heard: Callable[[float], None] | None = None


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
