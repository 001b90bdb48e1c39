"""Opens a job's audio, finds out what it is, and cuts it into timed chunks. Implements `AudioLibrary`."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Literal

from worker.audio.media import formats, plan
from worker.audio.media.opening import Opener
from worker.audio.opened import OpenedAudio, Truncation, limited
from worker.audio.pcm import PcmOpener, declared, wav_header
from worker.audio.reading import Source
from worker.audio.source import Sources
from worker.audio.wav import is_wav
from worker.concurrency.interrupt import Interrupt
from worker.contract.errors import PermanentError, Reason
from worker.contract.job import Job
from worker.jobs.audio import Audio
from worker.protocol.pace import Chunk, Read, exactly


class Library:
    """Opens audio.

    Args:
        sources: Where bytes come from.
        chunk_seconds: Audio per chunk.
        max_seconds: Longest audio that is accepted.
        wav_as: `pcm` declares the samples of a WAV file and leaves its header out; `wav` sends the
            file as it is, undeclared, as the vendor's quick start does (PROTOCOL.md 10, row 11).
        conversions: How many conversions may compute at the same time. The others wait, so that they do not
            take the processor away from running streams.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        chunk_seconds: float,
        max_seconds: float,
        wav_as: Literal["pcm", "wav"],
        conversions: int = 2,
    ) -> None:
        self._sources = sources
        self._longest = max_seconds
        self._pcm = PcmOpener(chunk_seconds, max_seconds, wav_as)
        self._opener = Opener(chunk_seconds, threading.BoundedSemaphore(conversions))

    @contextmanager
    def open(self, job: Job, interrupt: Interrupt, *, convert: bool = False) -> Iterator[Audio]:
        """See `worker.jobs.audio.AudioLibrary`."""
        # In a separate method: local variables here would keep the first blocks while the job runs.
        begin = partial(self._begun, job=job, convert=convert)
        with self._sources.open(job.audio, interrupt, begin) as opened:
            try:
                yield opened
            finally:
                opened.close()

    def _begun(self, source: Source, job: Job, convert: bool) -> OpenedAudio:
        """Find out what the audio is, and read its first chunk.

        The first chunk is read here because an interrupt can end the wait here. Later the job's own thread
        takes that chunk, and must not wait for a file.
        """
        if job.audio.sha256:
            source = replace(
                source, read=_verified(source.read, job.audio.sha256), read_now=None, read_at=None
            )
        head = exactly(source.read, formats.HEAD_BYTES)
        if not head:
            raise PermanentError(Reason.AUDIO_EMPTY, "the audio is empty: there are no bytes")
        if formats.is_encrypted(head):
            raise PermanentError(
                Reason.AUDIO_ENCRYPTED, "the audio is an encrypted file; send it without encryption"
            )
        opened = self._opened(head, source, job, convert)
        if source.heard is not None:
            opened.report_to(source.heard)
        return opened

    def _opened(self, head: bytes, source: Source, job: Job, convert: bool) -> OpenedAudio:
        """Find the audio's type. What its bytes show counts more than what the job or a server say."""
        told = job.audio.media_type
        notes: list[str] = []
        demuxer = formats.sniff(head)
        truncation = Truncation(job.audio.when_truncated, notes)
        if demuxer is None and formats.essence(told) == "audio/pcm":
            raw = declared(told or "")
            if job.audio.channels or job.audio.mix:
                return self._track(head, source, raw.demuxer, job, convert, truncation, notes, raw.options)
            plan.check_channels(raw.channels, job.audio, job.transcription)
            return self._pcm.raw(told or "", head, source)
        demuxer = (
            demuxer or formats.sniff_frames(head) or formats.supposed(told, job.audio.uri, source.media_type)
        )
        if demuxer is None:
            raise PermanentError(
                Reason.AUDIO_UNSUPPORTED,
                "the audio's bytes show none of the formats that this worker reads (WAV, FLAC, MP3, MP4, "
                "Ogg, WebM, AMR ...); for raw PCM give audio.media_type as "
                "audio/pcm; rate=R; channels=C; bits=B",
            )
        if (said := formats.contradiction(demuxer, told)) is not None:
            notes.append(said)
        if is_wav(head):
            header, head = wav_header(head, source)
            if header.plain and not (job.audio.channels or job.audio.mix or convert):
                plan.check_channels(header.channels, job.audio, job.transcription)
                opened = self._pcm.wav(header, head, source, truncation, hashed=job.audio.sha256 is not None)
                opened.notes = notes
                return opened
        return self._track(head, source, demuxer, job, convert, truncation, notes)

    def _track(
        self,
        head: bytes,
        source: Source,
        demuxer: str,
        job: Job,
        convert: bool,
        truncation: Truncation,
        notes: list[str],
        options: dict[str, str] | None = None,
    ) -> OpenedAudio:
        opened = self._opener.open(source, head, demuxer, job, convert=convert, options=options)
        try:
            form = opened.track.format
            if form.seconds is not None:
                plan.check_length(form.seconds, self._longest)
            chunks = truncation.watched(limited(opened.chunks, self._longest), form.seconds)
            first: list[Chunk] = []
            while sum(chunk.seconds for chunk in first) < plan.SHORTEST:
                if not (more := list(islice(chunks, 1))):
                    break
                first += more
            plan.check_length(sum(chunk.seconds for chunk in first), self._longest)
        except BaseException:
            opened.track.close()
            raise
        return OpenedAudio(
            chain(first, chunks),
            opened.sent,
            str(form),
            opened.how.value,
            form.seconds,
            # To decode or to write takes long: the job's own thread does it, so that no other stream waits.
            at_hand=source.at_hand and opened.how is plan.Way.PASS,
            convertible=opened.how is not plan.Way.CONVERT,
            notes=notes,
            gaps=opened.gaps,
            close=opened.track.close,
        )


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
