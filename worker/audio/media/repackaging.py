"""Copies the packets of a sound track into another container, without decoding them."""

from collections.abc import Iterator

from worker.audio.media.clock import AudioClock
from worker.audio.media.packing import Package
from worker.audio.media.passing import Damaged, split, times
from worker.audio.media.repair import UNSTAMPED
from worker.audio.media.track import ERRORS, Track
from worker.protocol.pace import Chunk


def repackaged(track: Track, muxer: str, seconds: float) -> Iterator[Chunk]:
    """The packets of a track as chunks of a new container.

    Args:
        track: Whose packets are copied.
        muxer: The new container, as libavformat names its muxer.
        seconds: Wanted length of a chunk.

    Raises:
        Damaged: A part of the audio cannot be read, or cannot be copied.
        JobError, Interrupted: Whatever reading the source raised.
    """
    clock = AudioClock(track.format.seconds)
    begun = 0.0
    try:
        package = Package(muxer, track.stream)
        data = b""
        for packet in track.packets():
            begin, gap = clock.packet(*times(track, packet))
            if track.errors or (gap and track.format.demuxer in UNSTAMPED):
                raise Damaged
            package.put(packet, begin)
            data += package.taken()
            if data and clock.position - begun >= seconds:
                yield from split(data, clock.position - begun, seconds)
                data, begun = b"", clock.position
        if track.errors:
            raise Damaged
        package.end()
        yield from split(data + package.taken(), max(0.0, clock.position - begun), seconds)
    except ERRORS:
        track.raise_failure()
        raise Damaged from None
