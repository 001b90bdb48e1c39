"""Decodes a sound track and makes 16-bit PCM of it, with silence where a part cannot be read."""

from array import array
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import av

from worker.audio.media.clock import AudioClock
from worker.audio.media.track import ERRORS, Track
from worker.contract.audio import Audio
from worker.protocol.pace import MAX_CHUNK_BYTES, Chunk

#: What speech recognition needs, and what the service recommends (PROTOCOL.md 5).
RATE = 16_000
_WIDTH = 2
#: Samples are counted, so a single frame that is missing shows: frames last 20 ms and more.
_TOLERANCE = 0.015


class Converter:
    """Makes 16-bit PCM at `RATE` of a track.

    Args:
        track: The track.
        audio: Of the job; says which channels are wanted.
        seconds: Wanted length of a chunk.
        turn: Held during decoding: it limits how many conversions compute at the same time.

    Attributes:
        channels: How many channels the PCM has.
        gaps: Where silence stands for what could not be read, as (begin, seconds).
    """

    def __init__(self, track: Track, audio: Audio, seconds: float, turn: AbstractContextManager[Any]) -> None:
        self.gaps: list[tuple[float, float]] = []
        self._track = track
        self._turn = turn
        self._picked = audio.channels
        self._mix = audio.mix
        self.channels = 1 if self._mix else len(self._picked) or track.format.channels
        self._frame_bytes = _WIDTH * self.channels
        self._size = (
            max(1, min(int(RATE * seconds), MAX_CHUNK_BYTES // self._frame_bytes)) * self._frame_bytes
        )

    @property
    def audio_format(self) -> str:
        """The PCM as the service wants it declared (PROTOCOL.md 5)."""
        return (
            f"audio/pcm; rate={RATE}; channels={self.channels}; bits={8 * _WIDTH}; "
            "endian=little; encoding=sint"
        )

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, once.

        Raises:
            JobError, Interrupted: Whatever reading the source raised.
        """
        ready = bytearray()
        for piece in self._decode():
            ready += piece
            while len(ready) >= self._size:
                yield self._chunk(bytes(ready[: self._size]))
                del ready[: self._size]
        if ready:
            yield self._chunk(bytes(ready))

    def _chunk(self, data: bytes) -> Chunk:
        return Chunk(data, len(data) / (RATE * self._frame_bytes))

    def _decode(self) -> Iterator[bytes]:
        clock = AudioClock(self._track.format.seconds, _TOLERANCE)
        resampler = _Resampler("mono" if self._mix else None)
        for frame in self._frames():
            missing = clock.gap(None if frame.time is None else frame.time + self._track.lost)
            if missing:
                self.gaps.append((clock.position, missing))
                yield from self._silence(missing)
                clock.position += missing
            clock.position += frame.samples / frame.sample_rate
            with self._turn:
                piece = self._chosen(resampler.samples(frame))
            yield piece
        yield self._chosen(resampler.rest())

    def _frames(self) -> Iterator[Any]:
        context = self._track.stream.codec_context
        for packet in self._track.packets():
            try:
                with self._turn:
                    frames = context.decode(packet)
            except ERRORS:
                continue
            yield from frames
        try:
            frames = context.decode(None)
        except ERRORS:
            return
        yield from frames

    def _silence(self, seconds: float) -> Iterator[bytes]:
        left = round(seconds * RATE) * self._frame_bytes
        while left > 0:
            size = min(left, self._size)
            yield bytes(size)
            left -= size

    def _chosen(self, samples: bytes) -> bytes:
        """The wanted channels of interleaved samples."""
        if not self._picked:
            return samples
        there = self._track.format.channels
        source = array("h", samples)
        chosen = array("h", bytes(len(source) // there * self._frame_bytes))
        for to, channel in enumerate(self._picked):
            chosen[to :: self.channels] = source[channel::there]
        return chosen.tobytes()


class _Resampler:
    """Makes interleaved 16-bit samples at `RATE` of frames, also when their format changes on the way."""

    def __init__(self, layout: str | None) -> None:
        self._layout = layout
        self._form: tuple[Any, ...] | None = None
        self._resampler: Any = None

    def samples(self, frame: Any) -> bytes:
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        rest = b""
        if form != self._form:
            rest, self._form = self.rest(), form
            self._layout = self._layout or frame.layout.name
            self._resampler = av.AudioResampler(format="s16", layout=self._layout, rate=RATE)
        # The time was looked at before; the resampler would refuse stamps that jump.
        frame.pts = None
        return rest + b"".join(map(_bytes, self._resampler.resample(frame)))

    def rest(self) -> bytes:
        """What the resampler still holds."""
        if self._resampler is None:
            return b""
        held, self._resampler = self._resampler.resample(None), None
        return b"".join(map(_bytes, held))


def _bytes(frame: Any) -> bytes:
    # A plane is padded; only so much of it is samples.
    return bytes(memoryview(frame.planes[0])[: frame.samples * frame.layout.nb_channels * _WIDTH])
