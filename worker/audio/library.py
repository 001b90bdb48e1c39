"""Opens the audio of a job and knows how to declare, cut and time it. Implements `AudioLibrary`."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Literal

from worker import job as jobs
from worker.audio import container, wav
from worker.audio.pace import Chunk, pcm_chunks
from worker.audio.source import Source, Sources
from worker.errors import PermanentError, Reason
from worker.ports import Audio

_HEAD = 64


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
        blocks = _verified(source.blocks, audio.sha256) if audio.sha256 else source.blocks
        head = b""
        while len(head) < _HEAD and (block := next(blocks, b"")):
            head += block
        if not head:
            raise PermanentError(Reason.AUDIO_UNSUPPORTED, "the audio is empty")
        opened = self._opened(head, blocks, audio.media_type, source.media_type)
        opened.at_hand = source.at_hand
        return opened

    def _opened(
        self, head: bytes, blocks: Iterator[bytes], told: str | None, served: str | None
    ) -> "_Opened":
        """Decide what the audio is: by the producer's word, else its first bytes, else the server's word."""
        if wav.is_wav(head):
            return self._wav(head, blocks)
        rest = chain([head], blocks)
        if container.essence(told) == "audio/pcm":
            return self._pcm(told or "", rest)
        guesses = (told, container.sniff(head), served)
        declared = next((guess for guess in guesses if container.essence(guess) in container.ACCEPTED), None)
        if declared is None:
            raise PermanentError(
                Reason.AUDIO_UNSUPPORTED,
                "the audio is neither WAV, Ogg, WebM, MP3, FLAC nor MP4; for raw PCM give audio.media_type "
                "as audio/pcm; rate=R; channels=C; bits=B",
            )
        chunks = container.container_chunks(rest, self._chunk_seconds)
        return _Opened(declared, chunks, self._max_seconds, None)

    def _wav(self, head: bytes, blocks: Iterator[bytes]) -> "_Opened":
        while (header := wav.read_header(head)) is None:
            block = next(blocks, b"")
            if not block:
                raise PermanentError(Reason.AUDIO_UNSUPPORTED, "the WAV file ends within its header")
            head += block
        if self._wav_as == "wav":
            whole = pcm_chunks(chain([head], blocks), header.bytes_per_second, 1, self._chunk_seconds)
            return _Opened(None, whole, self._max_seconds, header.seconds)
        if header.seconds is not None and header.seconds > self._max_seconds:
            raise _too_long(self._max_seconds)
        samples = _limited(chain([head[header.data_offset :]], blocks), header.data_size)
        chunks = pcm_chunks(samples, header.bytes_per_second, header.align, self._chunk_seconds)
        return _Opened(header.audio_format, chunks, self._max_seconds, header.seconds)

    def _pcm(self, media_type: str, blocks: Iterator[bytes]) -> "_Opened":
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
        return _Opened(
            media_type,
            pcm_chunks(blocks, rate * align, align, self._chunk_seconds),
            self._max_seconds,
            None,
        )


class _Opened:
    """Implements the `Audio` port."""

    def __init__(
        self,
        audio_format: str | None,
        chunks: Iterator[Chunk],
        max_seconds: float,
        total_seconds: float | None,
    ) -> None:
        self.format = audio_format
        self.total_seconds = total_seconds
        self.at_hand = False
        self._chunks = chunks
        self._max_seconds = max_seconds

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, until they pass the longest audio that is accepted."""
        total = 0.0
        for chunk in self._chunks:
            total += chunk.seconds
            if total > self._max_seconds:
                raise _too_long(self._max_seconds)
            yield chunk


def _verified(blocks: Iterator[bytes], expected: str) -> Iterator[bytes]:
    """Blocks that are checked against the SHA-256 the producer gave, once all have passed."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
        yield block
    if digest.hexdigest() != expected.lower():
        raise PermanentError(Reason.AUDIO_MISMATCH, "the audio's SHA-256 is not audio.sha256")


def _limited(blocks: Iterator[bytes], size: int | None) -> Iterator[bytes]:
    """The first `size` bytes; the rest is read too, because its hash may be asked for."""
    if size is None:
        return blocks
    left = size

    def take(block: bytes) -> bytes:
        nonlocal left
        taken, left = block[:left], max(0, left - len(block))
        return taken

    def check() -> Iterator[bytes]:
        if left:
            raise PermanentError(
                Reason.AUDIO_UNSUPPORTED,
                "the WAV file is cut short: it ends before the samples its header announces",
            )
        yield from ()

    # Not a generator that loops: it would keep its last block for as long as it stands still.
    return chain(map(take, blocks), check())


def _too_long(max_seconds: float) -> PermanentError:
    return PermanentError(
        Reason.AUDIO_TOO_LONG,
        f"the audio lasts longer than {max_seconds:g} s (CORTI_WORKER_AUDIO_MAX_SECONDS)",
    )
