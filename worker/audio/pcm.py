"""Uncompressed samples that the service takes: those of a WAV file, and raw ones that the job declares."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from worker.audio.media.plan import SHORTEST, check_length
from worker.audio.opened import OpenedAudio, Truncation, limited
from worker.audio.reading import Source, to_the_end
from worker.audio.wav import WavHeader, read_header
from worker.contract.errors import PermanentError, Reason
from worker.protocol.pace import Chunk, PcmChunks

_BLOCK = 16 * 1024


@dataclass(frozen=True, slots=True)
class RawFormat:
    """Raw samples as a job declares them."""

    rate: int
    channels: int
    bits: int
    unsigned: bool = False
    big_endian: bool = False

    @property
    def demuxer(self) -> str:
        """As libavformat names raw samples of this kind."""
        kind = "u" if self.unsigned else "s"
        return f"{kind}8" if self.bits == 8 else f"{kind}{self.bits}{'be' if self.big_endian else 'le'}"  # noqa: PLR2004

    @property
    def options(self) -> dict[str, str]:
        """What libavformat has to be told of the samples."""
        return {"sample_rate": str(self.rate), "ch_layout": f"{self.channels}c"}

    @property
    def align(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.bits // 8


def declared(media_type: str) -> RawFormat:
    """Read `audio/pcm; rate=R; channels=C; bits=B`.

    Raises:
        PermanentError: `audio_unsupported`, when a value is missing or outside of the service's ranges.
    """
    parameters = {
        key.strip().lower(): value.strip()
        for key, _, value in (part.partition("=") for part in media_type.split(";")[1:])
    }
    try:
        rate, channels, bits = (int(parameters[key]) for key in ("rate", "channels", "bits"))
    except (KeyError, ValueError):
        rate = channels = bits = 0
    if not (8000 <= rate <= 48000 and 1 <= channels <= 8 and bits in {8, 16, 24, 32}):  # noqa: PLR2004
        raise PermanentError(
            Reason.AUDIO_UNSUPPORTED,
            "raw PCM needs audio.media_type with rate 8000-48000, channels 1-8 and bits 8, 16, 24 or 32",
        )
    encoding, endian = parameters.get("encoding", "sint"), parameters.get("endian", "little")
    return RawFormat(rate, channels, bits, encoding.lower() == "uint", endian.lower() == "big")


def wav_header(head: bytes, source: Source) -> tuple[WavHeader, bytes]:
    """Read the header of a WAV file; returns it, and all bytes that were read so far.

    Raises:
        PermanentError: `audio_truncated` or `audio_unsupported`.
    """
    while (header := read_header(head)) is None:
        block = source.read(_BLOCK)
        if not block:
            raise PermanentError(Reason.AUDIO_TRUNCATED, "the WAV file ends within its header")
        head += block
    return header, head


class PcmOpener:
    """Opens uncompressed samples.

    Args:
        seconds: Wanted length of a chunk.
        longest: The most seconds that are accepted.
        wav_as: See `worker.audio.library.Library`.
    """

    def __init__(self, seconds: float, longest: float, wav_as: Literal["pcm", "wav"]) -> None:
        self._seconds = seconds
        self._longest = longest
        self._wav_as = wav_as

    def wav(
        self, header: WavHeader, head: bytes, source: Source, truncation: Truncation, *, hashed: bool
    ) -> OpenedAudio:
        """Open the samples of a WAV file.

        Args:
            header: Of the file.
            head: All bytes that were read so far.
            source: The rest.
            truncation: Told if samples are missing.
            hashed: Whether the file must be read to its end: a hash covers also what follows the samples.

        Raises:
            PermanentError: There are no samples, too few, or too many.
        """
        size, announced = header.data_size, header.seconds
        if source.size is not None:
            there = max(0, source.size - header.data_offset)
            if size is not None and announced is not None and size > there:
                # Known before anything is sent.
                truncation.found((size - there) / header.bytes_per_second, announced)
            size = there if size is None else min(size, there)
        seconds = self._length(size, header.bytes_per_second)
        name = f"{header.bits}-bit PCM in WAV, {header.rate} Hz, {_channels(header.channels)}"
        if self._wav_as == "wav":
            chunks: Iterator[Chunk] = self._cut(source, head, header.bytes_per_second, 1)
            return _opened(limited(chunks, self._longest), None, name, seconds, source)

        def short(missing: float) -> None:
            truncation.found(missing, announced or missing)

        samples = head[header.data_offset :][:size]
        chunks = self._cut(source, samples, header.bytes_per_second, header.align, size, short)
        if size is None:
            chunks = limited(chunks, self._longest)
        elif hashed:
            chunks = to_the_end(chunks, source.read)
        return _opened(chunks, header.audio_format, name, seconds, source)

    def raw(self, media_type: str, head: bytes, source: Source) -> OpenedAudio:
        """Open raw samples.

        Args:
            media_type: As the job declares them.
            head: The bytes that were read so far.
            source: The rest.

        Raises:
            PermanentError: The media type lacks something, or there are too few samples, or too many.
        """
        form = declared(media_type)
        seconds = self._length(source.size, form.rate * form.align)
        chunks = limited(self._cut(source, head, form.rate * form.align, form.align), self._longest)
        name = f"raw {form.bits}-bit PCM, {form.rate} Hz, {_channels(form.channels)}"
        return _opened(chunks, media_type, name, seconds, source)

    def _length(self, size: int | None, bytes_per_second: int) -> float | None:
        if size is None:
            return None
        if size == 0:
            raise PermanentError(Reason.AUDIO_EMPTY, "the audio has a header, but no samples")
        check_length(size / bytes_per_second, self._longest)
        return size / bytes_per_second

    def _cut(
        self,
        source: Source,
        head: bytes,
        bytes_per_second: int,
        align: int,
        size: int | None = None,
        on_short: Callable[[float], None] | None = None,
    ) -> PcmChunks:
        chunks = PcmChunks(
            source.read,
            bytes_per_second,
            align,
            self._seconds,
            head=head,
            size=size,
            on_short=on_short,
            read_now=source.read_now,
        )
        chunks.prefetch()
        if size is None and chunks.prefetched < min(chunks.length, SHORTEST * bytes_per_second):
            check_length(chunks.prefetched / bytes_per_second, self._longest)
        return chunks


def _opened(
    chunks: Iterator[Chunk], sent: str | None, name: str, seconds: float | None, source: Source
) -> OpenedAudio:
    return OpenedAudio(chunks, sent, name, "as it is", seconds, source.at_hand)


def _channels(count: int) -> str:
    return f"{count} channel{'' if count == 1 else 's'}"
