"""Opens the audio of a job and knows how to declare, cut and time it. Implements `AudioLibrary`."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal

from worker import job as jobs
from worker.audio import container, wav
from worker.audio.pace import Chunk, Read, exactly, pcm_chunks
from worker.audio.source import Source, Sources
from worker.errors import PermanentError, Reason
from worker.ports import Audio

_HEAD = 64
_BLOCK = 16 * 1024


class Library:
    """Opens audio.

    Args:
        sources: Where bytes come from.
        chunk_seconds: Audio per chunk.
        max_seconds: Longest audio that is accepted.
        wav_as: `pcm` declares the samples of a WAV file and leaves its header out; `wav` sends the
            file as it is, undeclared, as the vendor's quick start does (protocol 10, row 11).
    """

    def __init__(
        self, sources: Sources, *, chunk_seconds: float, max_seconds: float, wav_as: Literal["pcm", "wav"]
    ) -> None:
        self._sources = sources
        self._chunk_seconds = chunk_seconds
        self._max_seconds = max_seconds
        self._wav_as = wav_as

    @contextmanager
    def open(self, audio: jobs.Audio) -> Iterator[Audio]:
        """See `worker.ports.AudioLibrary`."""
        with self._sources.open(audio) as source:
            # In a call of its own: names here would keep the first blocks for as long as the job runs.
            yield self._begun(source, audio)

    def _begun(self, source: Source, audio: jobs.Audio) -> Audio:
        """Read as much as it takes to tell what the audio is."""
        read = _verified(source.read, audio.sha256) if audio.sha256 else source.read
        head = exactly(read, _HEAD)
        if not head:
            raise PermanentError(Reason.AUDIO_UNSUPPORTED, "the audio is empty")
        opened = self._opened(head, read, audio.media_type, source.media_type)
        opened.at_hand = source.at_hand
        return opened

    def _opened(self, head: bytes, read: Read, told: str | None, served: str | None) -> "_Opened":
        """Decide what the audio is: by the producer's word, else its first bytes, else the server's word."""
        if wav.is_wav(head):
            return self._wav(head, read)
        whole = _after(head, read)
        if container.essence(told) == "audio/pcm":
            return self._pcm(told or "", whole)
        guesses = (told, container.sniff(head), served)
        declared = next((guess for guess in guesses if container.essence(guess) in container.ACCEPTED), None)
        if declared is None:
            raise PermanentError(
                Reason.AUDIO_UNSUPPORTED,
                "the audio is neither WAV, Ogg, WebM, MP3, FLAC nor MP4; for raw PCM give audio.media_type "
                "as audio/pcm; rate=R; channels=C; bits=B",
            )
        chunks = container.container_chunks(iter(partial(whole, _BLOCK), b""), self._chunk_seconds)
        return _Opened(declared, _limited(chunks, self._max_seconds), None)

    def _wav(self, head: bytes, read: Read) -> "_Opened":
        while (header := wav.read_header(head)) is None:
            block = read(_BLOCK)
            if not block:
                raise PermanentError(Reason.AUDIO_UNSUPPORTED, "the WAV file ends within its header")
            head += block
        if self._wav_as == "wav":
            whole = pcm_chunks(_after(head, read), header.bytes_per_second, 1, self._chunk_seconds)
            return _Opened(None, _limited(whole, self._max_seconds), header.seconds)
        if header.seconds is not None and header.seconds > self._max_seconds:
            raise _too_long(self._max_seconds)
        samples = _samples(_after(head[header.data_offset :], read), header, self._chunk_seconds)
        if header.seconds is None:
            samples = _limited(samples, self._max_seconds)
        return _Opened(header.audio_format, samples, header.seconds)

    def _pcm(self, media_type: str, read: Read) -> "_Opened":
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
        chunks = pcm_chunks(read, rate * align, align, self._chunk_seconds)
        return _Opened(media_type, _limited(chunks, self._max_seconds), None)


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
        """See `worker.ports.Audio`."""
        return self._chunks


def _limited(chunks: Iterator[Chunk], max_seconds: float) -> Iterator[Chunk]:
    """The chunks, until they pass the longest audio that is accepted."""
    total = 0.0
    for chunk in chunks:
        total += chunk.seconds
        if total > max_seconds:
            raise _too_long(max_seconds)
        yield chunk


def _after(head: bytes, read: Read) -> Read:
    """Read what was read already, and then the rest."""

    def joined(size: int) -> bytes:
        nonlocal head
        if not head:
            return read(size)
        data, head = head[:size], head[size:]
        return data

    return joined


def _verified(read: Read, expected: str) -> Read:
    """Read what is checked against the SHA-256 the producer gave, once all has passed."""
    digest = hashlib.sha256()

    def checked(size: int) -> bytes:
        data = read(size)
        digest.update(data)
        if not data and digest.hexdigest() != expected.lower():
            raise PermanentError(Reason.AUDIO_MISMATCH, "the audio's SHA-256 is not audio.sha256")
        return data

    return checked


def _samples(read: Read, header: wav.WavHeader, chunk_seconds: float) -> Iterator[Chunk]:
    """The chunks of a WAV file; all that its header announces must be there."""
    missing = yield from pcm_chunks(
        read, header.bytes_per_second, header.align, chunk_seconds, header.data_size
    )
    if missing:
        raise PermanentError(
            Reason.AUDIO_UNSUPPORTED,
            "the WAV file is cut short: it ends before the samples its header announces",
        )
    # What follows is read too, because its hash may be asked for.
    while read(_BLOCK):
        pass


def _too_long(max_seconds: float) -> PermanentError:
    return PermanentError(
        Reason.AUDIO_TOO_LONG,
        f"the audio lasts longer than {max_seconds:g} s (CORTI_WORKER_AUDIO_MAX_SECONDS)",
    )
