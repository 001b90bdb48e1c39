"""Opens a job's audio, finds out what it is, and cuts it into timed chunks. Implements `AudioLibrary`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any, Literal

from worker.audio.media import boxes, formats, plan
from worker.audio.media.files import OrderedFile
from worker.audio.media.opening import Opened, Opener
from worker.audio.opened import OpenedAudio, Truncation, limited
from worker.audio.pcm import PcmOpener, declared, wav_header
from worker.audio.reading import Source, reader, to_the_end, verified
from worker.audio.source import Sources
from worker.audio.spool import Spool
from worker.audio.wav import is_wav
from worker.concurrency.interrupt import Interrupt
from worker.contract.errors import PermanentError, Reason
from worker.contract.job import Job
from worker.jobs.audio import Audio
from worker.protocol.pace import Chunk, Read, exactly

_BLOCK = 16 * 1024
#: The index of an MP4 file that can be read in order begins within so many bytes.
_INDEX_WITHIN = 64 * 1024


class Library:
    """Opens audio.

    Args:
        sources: Where bytes come from.
        chunk_seconds: Audio per chunk.
        max_seconds: Longest audio that is accepted.
        wav_as: `pcm` declares the samples of a WAV file and leaves its header out; `wav` sends the
            file as it is, undeclared, as the vendor's quick start does (PROTOCOL.md 10, row 11).
        spool: For audio that comes in order, and that cannot be read in order.
        turn: Held while a conversion computes. It limits how many do so at the same time, so that they do not
            take the processor away from running streams.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        chunk_seconds: float,
        max_seconds: float,
        wav_as: Literal["pcm", "wav"],
        spool: Spool,
        turn: AbstractContextManager[Any],
    ) -> None:
        self._sources = sources
        self._longest = max_seconds
        self._spool = spool
        self._pcm = PcmOpener(chunk_seconds, max_seconds, wav_as)
        self._opener = Opener(chunk_seconds, turn)

    @contextmanager
    def open(self, job: Job, interrupt: Interrupt, *, convert: bool = False) -> Iterator[Audio]:
        """See `worker.jobs.audio.AudioLibrary`."""
        # In another object: local variables here would keep the first blocks while the job runs.
        opening = _Opening(job, convert, self._longest, self._spool, self._pcm, self._opener)
        with self._sources.open(job.audio, interrupt, opening.begin) as opened:
            del opening
            try:
                yield opened
            finally:
                opened.close()


class _Opening:
    """Finds out what the audio of one job is."""

    def __init__(
        self, job: Job, convert: bool, longest: float, spool: Spool, pcm: PcmOpener, opener: Opener
    ) -> None:
        self._job = job
        self._told = job.audio.media_type
        self._convert = convert
        self._chosen = job.audio.mix or bool(job.audio.channels)
        self._longest = longest
        self._spool = spool
        self._pcm = pcm
        self._opener = opener
        self._notes: list[str] = []
        self._truncation = Truncation(job.audio.when_truncated, self._notes)
        # Of the bytes that a WAV header announces, the share that is there.
        self._there = 1.0

    def begin(self, source: Source) -> OpenedAudio:
        """Find out what the audio is, and read its first chunk.

        The first chunk is read here because an interrupt can end the wait here. Later the job's own thread
        takes that chunk, and must not wait for a file.
        """
        sha256 = self._job.audio.sha256
        if sha256:
            source = replace(source, read=verified(source.read, sha256), read_now=None, read_at=None)
        head = exactly(source.read, formats.HEAD_BYTES)
        if not head:
            raise PermanentError(Reason.AUDIO_EMPTY, "the audio is empty: there are no bytes")
        if formats.is_encrypted(head):
            raise PermanentError(
                Reason.AUDIO_ENCRYPTED, "the audio is an encrypted file; send it without encryption"
            )
        opened = self._find(head, source)
        self._compare_channels(head, source)
        if source.heard is not None:
            opened.report_to(source.heard)
        return opened

    def _compare_channels(self, head: bytes, source: Source) -> None:
        """Warn of a recording whose channels hold the same sound, if each is to have its own transcript."""
        demuxer = formats.sniff(head) or formats.sniff_frames(head)
        if not self._job.transcription.multichannel or source.read_at is None or source.size is None:
            return
        if demuxer is not None and self._opener.is_alike(source.read_at, source.size, demuxer, self._job):
            self._notes.append(
                "all channels hold the same sound, so that each has the same transcript: "
                "transcription.multichannel is for a channel for each speaker"
            )

    def _find(self, head: bytes, source: Source) -> OpenedAudio:
        """What the bytes show counts more than what the job or a server say."""
        told, job = self._told, self._job
        demuxer = formats.sniff(head)
        if demuxer is None and formats.essence(told) == "audio/pcm":
            raw = declared(told or "")
            if self._chosen:
                return self._track(head, source, raw.demuxer, raw.options)
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
            self._notes.append(said)
        if is_wav(head):
            header, head = wav_header(head, source)
            if header.plain and not (self._chosen or self._convert):
                plan.check_channels(header.channels, job.audio, job.transcription)
                hashed = job.audio.sha256 is not None
                opened = self._pcm.wav(header, head, source, self._truncation, hashed=hashed)
                opened.notes = self._notes
                return opened
            if header.data_size and source.size is not None:
                self._there = min(1.0, max(0, source.size - header.data_offset) / header.data_size)
        return self._track(head, source, demuxer)

    def _track(
        self, head: bytes, source: Source, demuxer: str, options: dict[str, str] | None = None
    ) -> OpenedAudio:
        """Open what PyAV has to read."""
        with ExitStack() as stack:
            if source.read_at is None and not _in_order(demuxer, head := _more(head, source, demuxer)):
                source = stack.enter_context(self._spool.spooled(source, head))
            ordered = OrderedFile(chain((head,), iter(partial(source.read, _BLOCK), b"")), keep=True)
            open_track = partial(
                self._opener.open,
                demuxer=demuxer,
                job=self._job,
                webm=b"webm" in head,
                convert=self._convert,
                options=options,
            )
            try:
                opened = open_track(source, ordered)
            except PermanentError as error:
                if source.read_at is not None or error.reason is Reason.AUDIO_CHANNELS:
                    raise
                # A damaged file may be readable at will where it is not in order.
                source = stack.enter_context(
                    self._spool.spooled(replace(source, read=reader(ordered.again())))
                )
                opened = open_track(source, OrderedFile(iter(partial(source.read, _BLOCK), b""), keep=True))
            stack.callback(opened.track.close)
            return self._audio(opened, source, stack)

    def _audio(self, opened: Opened, source: Source, stack: ExitStack) -> OpenedAudio:
        form = opened.track.format
        if form.seconds is not None:
            plan.check_length(form.seconds, self._longest)
            if 0 < self._there < 1:
                self._truncation.found(form.seconds / self._there - form.seconds, form.seconds / self._there)
        chunks = self._truncation.watched(limited(opened.chunks, self._longest), form.seconds)
        if self._job.audio.sha256:
            chunks = to_the_end(chunks, _left_at_an_interrupt(source))
        first: list[Chunk] = []
        while sum(chunk.seconds for chunk in first) < plan.SHORTEST:
            if not (more := list(islice(chunks, 1))):
                break
            first += more
        plan.check_length(sum(chunk.seconds for chunk in first), self._longest)
        return OpenedAudio(
            chain(first, chunks),
            opened.sent,
            str(form),
            opened.how.value,
            form.seconds,
            # To decode or to write takes long: the job's own thread does it, so that no other stream waits.
            at_hand=source.at_hand and opened.how is plan.Way.PASS,
            convertible=opened.how is not plan.Way.CONVERT,
            notes=self._notes,
            gaps=opened.gaps,
            close=stack.pop_all().close,
        )


def _left_at_an_interrupt(source: Source) -> Read:
    """Reads a source on the thread of a job, which must not hang with a file system."""
    waiting, read = source.waiting, source.read
    return read if waiting is None else lambda size: waiting(partial(read, size))


def _more(head: bytes, source: Source, demuxer: str) -> bytes:
    """The first bytes of a source; so many that they show where the index of an MP4 file is."""
    if demuxer != "mov":
        return head
    return head + exactly(source.read, _INDEX_WITHIN - len(head))


def _in_order(demuxer: str, head: bytes) -> bool:
    """Whether a container can be read from front to back."""
    if demuxer == "caf":
        return False  # the table of its packets may lie behind them
    return demuxer != "mov" or boxes.index_first(lambda offset, size: head[offset : offset + size])
