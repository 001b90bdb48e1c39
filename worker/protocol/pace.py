"""Chunks, and when each of them is due.

The clock is the audio's own: a chunk is due when the audio before it has been spoken, however many
bytes that took and however late earlier chunks were, so lateness never adds up.
"""

import math
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

#: The service's limit for one binary message (PROTOCOL.md 4.6).
MAX_CHUNK_BYTES = 64_000


#: Returns up to so many bytes, like a file's `read`: fewer bytes do not mean the end, no bytes do.
Read = Callable[[int], bytes]


class Chunk(NamedTuple):
    """Audio for one binary message: at most `MAX_CHUNK_BYTES`, lasting `seconds`."""

    data: bytes
    seconds: float


class Pace:
    """The schedule of one stream.

    Args:
        speed: Times real time.
        patience: Seconds a stream may catch up by sending faster. If it falls further behind, because its
            audio came late or the network stood still, the schedule moves instead: the service warns
            against sending faster than real time (PROTOCOL.md 4.6).
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
    """Read `size` bytes, or all that are left if there are fewer."""
    data = read(size)
    while len(data) < size and (more := read(size - len(data))):
        data += more
    return data


class PcmChunks(Iterator[Chunk]):
    """PCM cut into chunks of equal length; the last may be shorter. Nothing is read ahead.

    Bytes after the last whole sample are dropped.

    Args:
        read: The samples.
        bytes_per_second: Of the format.
        align: Bytes of one sample of all channels; no chunk splits one.
        seconds: Wanted length of a chunk.
        head: Samples that were read already.
        size: How many bytes of samples there are, `head` included; None: all that can be read.
        on_short: Called with the seconds that are missing when there are fewer bytes than `size`.
        read_now: Reads exactly so many bytes, or raises BlockingIOError if that would take waiting.
    """

    __slots__ = (
        "_align",
        "_bytes_per_second",
        "_head",
        "_lasting",
        "_left",
        "_length",
        "_on_short",
        "_read",
        "_read_now",
    )

    def __init__(
        self,
        read: Read,
        bytes_per_second: int,
        align: int,
        seconds: float,
        *,
        head: bytes = b"",
        size: int | None = None,
        on_short: Callable[[float], None] | None = None,
        read_now: Read | None = None,
    ) -> None:
        length = min(int(bytes_per_second * seconds), MAX_CHUNK_BYTES)
        self._length = max(align, length - length % align)
        self._lasting = self._length / bytes_per_second
        self._bytes_per_second = bytes_per_second
        self._align = align
        self._head = head
        self._left = sys.maxsize if size is None else size
        self._on_short = None if size is None else on_short
        self._read = read
        self._read_now = read_now

    def prefetch(self) -> None:
        """Read the first chunk, so that whoever takes it need not wait for the source."""
        missing = min(self._length, self._left) - len(self._head)
        if missing > 0:
            self._head += exactly(self._read, missing)

    @property
    def length(self) -> int:
        """Bytes of a whole chunk."""
        return self._length

    @property
    def prefetched(self) -> int:
        """Bytes that were read and not taken yet."""
        return len(self._head)

    def __next__(self) -> Chunk:
        """The next chunk, however long it takes to read."""
        wanted = min(self._length, self._left)
        data, self._head = self._head[:wanted], self._head[wanted:]
        if len(data) < wanted:
            data += exactly(self._read, wanted - len(data))
        if len(data) < wanted:
            if self._on_short is not None and self._left > len(data):
                self._on_short((self._left - len(data)) / self._bytes_per_second)
            self._left = len(data)
        self._left -= len(data)
        if len(data) < self._length:
            data = data[: len(data) - len(data) % self._align]
            if not data:
                raise StopIteration
        return Chunk(data, len(data) / self._bytes_per_second)

    @property
    def can_tell(self) -> bool:
        """Whether `ready` can ever return a chunk."""
        return self._read_now is not None

    def ready(self) -> Chunk:
        """The next chunk, if reading it takes no waiting; else BlockingIOError: then `next` returns it."""
        if self._read_now is None or self._head or self._left < self._length:
            raise BlockingIOError
        data = self._read_now(self._length)
        self._left -= self._length
        return Chunk(data, self._lasting)
