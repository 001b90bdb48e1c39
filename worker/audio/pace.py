"""Chunks, and when each of them is due.

The clock is the audio's own: a chunk is due when the audio before it has been spoken, however many
bytes that took and however late earlier chunks were, so lateness never adds up.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: The service's limit for one binary message (protocol 4.6).
MAX_CHUNK_BYTES = 64_000


@dataclass(frozen=True, slots=True)
class Chunk:
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

    def __init__(self, speed: float, patience: float = 1.0) -> None:
        self.speed = speed
        self._patience = patience
        self.position = 0.0
        #: When the next chunk is due; None before `start`.
        self.due: float | None = None

    def start(self, now: float) -> None:
        """The first chunk may go out now."""
        self.due = now

    def sent(self, seconds: float, now: float) -> float:
        """A chunk of `seconds` went out.

        Returns:
            Seconds by which it was late.
        """
        due = now if self.due is None else self.due
        lateness = now - due
        self.position += seconds
        self.due = (now if lateness > self._patience else due) + seconds / self.speed
        return max(0.0, lateness)


def pcm_chunks(blocks: Iterable[bytes], bytes_per_second: int, align: int, seconds: float) -> Iterator[Chunk]:
    """Cut PCM into chunks of equal length.

    Args:
        blocks: The samples, in pieces of any size.
        bytes_per_second: Of the format.
        align: Bytes of one sample of all channels; no chunk splits one.
        seconds: Wanted length of a chunk.

    Yields:
        Chunks; the last may be shorter. Bytes after the last whole sample are dropped.
    """
    size = min(int(bytes_per_second * seconds), MAX_CHUNK_BYTES)
    size = max(align, size - size % align)
    lasting = size / bytes_per_second
    rest, at, source = b"", 0, iter(blocks)
    # Thousands of these stand still between two chunks: no name may keep a block longer than it must.
    while True:
        while len(rest) - at < size:
            rest, at = rest[at:], 0
            try:
                rest += next(source)
            except StopIteration:
                last = len(rest) - len(rest) % align
                if last:
                    yield Chunk(rest[:last], last / bytes_per_second)
                return
        yield Chunk(rest[at : at + size], lasting)
        at += size
