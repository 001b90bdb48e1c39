"""Chunks, and when each of them is due.

The clock is the audio's own: a chunk is due when the audio before it has been spoken, however many
bytes that took and however late earlier chunks were, so lateness never adds up.
"""

import math
import sys
from collections.abc import Callable, Generator
from typing import NamedTuple

#: The service's limit for one binary message (protocol 4.6).
MAX_CHUNK_BYTES = 64_000


#: Gives up to so many bytes, as a file does: fewer are no end, none are.
Read = Callable[[int], bytes]


class Chunk(NamedTuple):
    """Audio for one binary message: at most `MAX_CHUNK_BYTES`, lasting `seconds`."""

    data: bytes
    seconds: float


class Pace:
    """The schedule of one stream.

    Args:
        speed: Times real time.
        patience: Seconds a stream may catch up by sending faster. When it fell further behind, because
            its audio came late or the network stood still, the schedule moves instead: faster than
            real time is what the service warns about (protocol 4.6).
    """

    __slots__ = ("_patience", "due", "position", "speed")

    def __init__(self, speed: float, patience: float = 1.0) -> None:
        self.speed = speed
        self._patience = patience
        self.position = 0.0
        #: When the next chunk is due; infinity before `start`.
        self.due = math.inf

    @property
    def started(self) -> bool:
        """Whether there is a schedule."""
        return self.due < math.inf

    def start(self, now: float) -> None:
        """The first chunk may go out now."""
        self.due = now

    def sent(self, seconds: float, now: float) -> float:
        """A chunk of `seconds` went out.

        Returns:
            Seconds by which it was late.
        """
        due = self.due
        lateness = now - due
        self.position += seconds
        self.due = (now if lateness > self._patience else due) + seconds / self.speed
        return max(0.0, lateness)


def exactly(read: Read, size: int) -> bytes:
    """So many bytes, or as many as there are."""
    data = read(size)
    while len(data) < size and (more := read(size - len(data))):
        data += more
    return data


def pcm_chunks(
    read: Read, bytes_per_second: int, align: int, seconds: float, size: int | None = None
) -> Generator[Chunk, None, int]:
    """Cut PCM into chunks of equal length.

    Args:
        read: The samples. Nothing is read ahead.
        bytes_per_second: Of the format.
        align: Bytes of one sample of all channels; no chunk splits one.
        seconds: Wanted length of a chunk.
        size: How many bytes of samples there are; None: all that can be read.

    Yields:
        Chunks; the last may be shorter. Bytes after the last whole sample are dropped.

    Returns:
        How many bytes of `size` were missing.
    """
    length = min(int(bytes_per_second * seconds), MAX_CHUNK_BYTES)
    length = max(align, length - length % align)
    lasting = length / bytes_per_second
    left = sys.maxsize if size is None else size
    while left:
        data = exactly(read, min(length, left))
        left -= len(data)
        if len(data) < length:
            if whole := len(data) - len(data) % align:
                yield Chunk(data[:whole], whole / bytes_per_second)
            break
        yield Chunk(data, lasting)
    return 0 if size is None else left
