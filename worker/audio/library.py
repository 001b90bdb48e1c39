"""Opens a job's audio, finds out its format, and cuts it into timed chunks. Implements `AudioLibrary`."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Literal

from worker.audio import container, wav
from worker.audio.reading import Source
from worker.audio.source import Sources
from worker.concurrency.interrupt import Interrupt
from worker.contract import job as jobs
from worker.contract.errors import PermanentError, Reason
from worker.jobs.ports import Audio
from worker.protocol.pace import Chunk, PcmChunks, Read, exactly

_HEAD = 64
_BLOCK = 16 * 1024


class Library:
    """Opens audio.

    Args:
        sources: Where bytes come from.
        chunk_seconds: Audio per chunk.
        max_seconds: Longest audio that is accepted.
        wav_as: `pcm` declares the samples of a WAV file and leaves its header out; `wav` sends the
            file as it is, undeclared, as the vendor's quick start does (PROTOCOL.md 10, row 11).
    """

    def __init__(
        self, sources: Sources, *, chunk_seconds: float, max_seconds: float, wav_as: Literal["pcm", "wav"]
    ) -> None:
        self._sources = sources
        self._chunk_seconds = chunk_seconds
        self._max_seconds = max_seconds
        self._wav_as = wav_as

    @contextmanager
    def open(self, audio: jobs.Audio, interrupt: Interrupt) -> Iterator[Audio]:
        """See `worker.jobs.ports.AudioLibrary`."""
        # In a separate method: local variables here would keep the first blocks while the job runs.
        with self._sources.open(audio, interrupt, lambda source: self._begun(source, audio)) as opened:
            yield opened

    def _begun(self, source: Source, audio: jobs.Audio) -> Audio:
        """Find out what the audio is, and read its first chunk.

        The first chunk is read here because an interrupt can end the wait here. Later the job's own thread
        takes that chunk, and must not wait for a file.
        """
        if audio.sha256:
            source = replace(source, read=_verified(source.read, audio.sha256), read_now=None)
        head = exactly(source.read, _HEAD)
        if not head:
            raise PermanentError(Reason.AUDIO_UNSUPPORTED, "the audio is empty")
        opened = self._opened(head, source, audio.media_type)
        opened.at_hand = source.at_hand
        if source.heard is not None:
            opened.report_to(source.heard)
        return opened

    def _opened(self, head: bytes, source: Source, told: str | None) -> "_Opened":
        """Find the audio's type: a WAV header, else what the producer, the bytes or the server say."""
        if wav.is_wav(head):
            return self._wav(head, source)
        if container.essence(told) == "audio/pcm":
            return self._pcm(told or "", head, source)
        guesses = (told, container.sniff(head), source.media_type)
        declared = next((guess for guess in guesses if container.essence(guess) in container.ACCEPTED), None)
        if declared is None:
            raise PermanentError(
                Reason.AUDIO_UNSUPPORTED,
                "the audio is neither WAV, Ogg, WebM, MP3, FLAC nor MP4; for raw PCM give audio.media_type "
                "as audio/pcm; rate=R; channels=C; bits=B",
            )
        blocks = chain([head], iter(partial(source.read, _BLOCK), b""))
        chunks = _limited(container.container_chunks(blocks, self._chunk_seconds), self._max_seconds)
        return _Opened(declared, chain(list(islice(chunks, 1)), chunks), None)

    def _wav(self, head: bytes, source: Source) -> "_Opened":
        while (header := wav.read_header(head)) is None:
            block = source.read(_BLOCK)
            if not block:
                raise PermanentError(Reason.AUDIO_UNSUPPORTED, "the WAV file ends within its header")
            head += block
        chunks: Iterator[Chunk]
        if self._wav_as == "wav":
            chunks = self._cut(source, head, header.bytes_per_second, 1, None)
            return _Opened(None, _limited(chunks, self._max_seconds), header.seconds)
        if header.seconds is not None and header.seconds > self._max_seconds:
            raise _too_long(self._max_seconds)
        samples = head[header.data_offset :]
        if header.data_size is not None:
            samples = samples[: header.data_size]
        chunks = self._cut(source, samples, header.bytes_per_second, header.align, header.data_size)
        if header.seconds is None:
            chunks = _limited(chunks, self._max_seconds)
        # Read also what follows the samples: a hash covers the whole file. With `read_now` there is no hash.
        return _Opened(
            header.audio_format,
            chunks if source.read_now else _to_the_end(chunks, source.read),
            header.seconds,
        )

    def _pcm(self, media_type: str, head: bytes, source: Source) -> "_Opened":
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
        align = channels * bits // 8
        chunks = self._cut(source, head, rate * align, align, None)
        return _Opened(media_type, _limited(chunks, self._max_seconds), None)

    def _cut(
        self, source: Source, head: bytes, bytes_per_second: int, align: int, size: int | None
    ) -> PcmChunks:
        chunks = PcmChunks(
            source.read,
            bytes_per_second,
            align,
            self._chunk_seconds,
            head=head,
            size=size,
            read_now=source.read_now,
        )
        chunks.prefetch()
        return chunks


class _Opened:
    """Implements the `Audio` port."""

    def __init__(
        self, audio_format: str | None, chunks: Iterator[Chunk], total_seconds: float | None
    ) -> None:
        self.format = audio_format
        self.total_seconds = total_seconds
        self.at_hand = False
        self._chunks = chunks

    def chunks(self) -> Iterator[Chunk]:
        """See `worker.jobs.ports.Audio`."""
        return self._chunks

    def report_to(self, heard: Callable[[float], None]) -> None:
        """Call `heard` with the seconds of each chunk when the chunk is taken."""
        self._chunks = _told(self._chunks, heard)


def _told(chunks: Iterator[Chunk], heard: Callable[[float], None]) -> Iterator[Chunk]:
    for chunk in chunks:
        heard(chunk.seconds)
        yield chunk


def _limited(chunks: Iterator[Chunk], max_seconds: float) -> Iterator[Chunk]:
    """The chunks, until they pass the longest audio that is accepted."""
    total = 0.0
    for chunk in chunks:
        total += chunk.seconds
        if total > max_seconds:
            raise _too_long(max_seconds)
        yield chunk


def _verified(read: Read, expected: str) -> Read:
    """Wrap `read`: at the end of the data, compare its SHA-256 with the one the producer gave."""
    digest = hashlib.sha256()

    def checked(size: int) -> bytes:
        data = read(size)
        digest.update(data)
        if not data and digest.hexdigest() != expected.lower():
            raise PermanentError(Reason.AUDIO_MISMATCH, "the audio's SHA-256 is not audio.sha256")
        return data

    return checked


def _to_the_end(chunks: Iterator[Chunk], read: Read) -> Iterator[Chunk]:
    yield from chunks
    while read(_BLOCK):
        pass


def _too_long(max_seconds: float) -> PermanentError:
    return PermanentError(
        Reason.AUDIO_TOO_LONG,
        f"the audio lasts longer than {max_seconds:g} s (CORTI_WORKER_AUDIO_MAX_SECONDS)",
    )
