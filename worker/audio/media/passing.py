"""Cuts a container into chunks as it is: PyAV only tells when each of its bytes is due."""

from collections.abc import Iterator
from typing import Any

from worker.audio.media.clock import AudioClock
from worker.audio.media.files import OrderedFile
from worker.audio.media.track import ERRORS, Track
from worker.contract.errors import Reason, TransientError
from worker.protocol.pace import MAX_CHUNK_BYTES, Chunk

#: Containers whose time stamps reach the service with the packets: there, a gap is a pause and no damage.
_STAMPED = frozenset({"matroska", "mov"})


class Damaged(TransientError):
    """A part of the audio cannot be read. Converted audio can have silence in its place."""

    def __init__(self) -> None:
        super().__init__(
            Reason.AUDIO_DAMAGED,
            "a part of the audio cannot be read; the next attempt converts it, with silence in that place",
            retry_after=0.0,
        )


def times(track: Track, packet: Any) -> tuple[float | None, float]:
    """A packet's time stamp and length in seconds; None and 0 where it has none."""
    stamp, tick = packet.pts, track.tick
    return None if stamp is None else stamp * tick + track.lost, (packet.duration or 0) * tick


def passed(track: Track, file: OrderedFile, seconds: float) -> Iterator[Chunk]:
    """A container's bytes as chunks of so many seconds, at most `MAX_CHUNK_BYTES` each.

    Args:
        track: Reads from `file`.
        file: Keeps what was read.
        seconds: Wanted length of a chunk.

    Raises:
        Damaged: A part of the audio is missing or cannot be read.
        JobError, Interrupted: Whatever reading the source raised.
    """
    clock = AudioClock(track.format.seconds)
    begun = 0.0  # the time at which the bytes not yet cut begin
    floor = None  # no cut at or before this offset: there is the header, or a page that was cut already
    try:
        for packet in track.packets():
            now, gap = clock.packet(*times(track, packet))
            if track.errors or (gap and track.format.demuxer not in _STAMPED):
                raise Damaged
            until = packet.pos if packet.pos is not None and packet.pos > 0 else file.offset
            if floor is None:
                floor = until
            # Packets of one Ogg page share its offset: only the next page's first packet shows its end.
            elif until > floor and now - begun >= seconds:
                yield from split(file.cut(until), now - begun, seconds)
                begun, floor = now, until
        if track.errors:
            raise Damaged
        yield from split(file.cut(file.offset), max(0.0, clock.position - begun), seconds)
        for block in file.rest():
            yield Chunk(block, 0.0)
    except ERRORS:
        track.raise_failure()
        raise Damaged from None


def split(data: bytes, lasting: float, seconds: float) -> Iterator[Chunk]:
    """Cut bytes that last longer than a chunk into equal parts: a page has only one time stamp."""
    if not data:
        return
    count = max(1, round(lasting / seconds), -(-len(data) // MAX_CHUNK_BYTES))
    size = -(-len(data) // count)
    for start in range(0, len(data), size):
        part = data[start : start + size]
        yield Chunk(part, lasting * len(part) / len(data))
