"""Opens compressed and wrapped audio: finds its track, decides how it goes to the service, and begins."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from worker.audio.media import plan
from worker.audio.media.alike import are_alike
from worker.audio.media.boxes import index_first
from worker.audio.media.converting import Converter
from worker.audio.media.files import OrderedFile, SeekableFile
from worker.audio.media.formats import MEDIA_TYPES, PACKAGES
from worker.audio.media.ogg import is_joined
from worker.audio.media.passing import passed
from worker.audio.media.repackaging import repackaged
from worker.audio.media.track import Format, Track
from worker.audio.reading import ReadAt, Source
from worker.contract.errors import PermanentError
from worker.contract.job import Job
from worker.protocol.pace import Chunk


@dataclass(frozen=True, slots=True)
class Opened:
    """A track on its way to the service.

    Attributes:
        track: Of the source; to be closed at the end.
        sent: What it is for the service: an `audioFormat`.
        how: How it goes there.
        chunks: The audio.
        gaps: Where silence stands for what could not be read, as (begin, seconds); grows.
    """

    track: Track
    sent: str
    how: plan.Way
    chunks: Iterator[Chunk]
    gaps: list[tuple[float, float]]


class Opener:
    """Opens tracks.

    Args:
        seconds: Wanted length of a chunk.
        turn: Limits how many conversions compute at the same time.
    """

    def __init__(self, seconds: float, turn: AbstractContextManager[Any]) -> None:
        self._seconds = seconds
        self._turn = turn

    def open(
        self,
        source: Source,
        ordered: OrderedFile,
        demuxer: str,
        job: Job,
        *,
        webm: bool,
        convert: bool,
        options: dict[str, str] | None = None,
    ) -> Opened:
        """Open a track.

        Args:
            source: The bytes.
            ordered: The same bytes in order, from the beginning.
            demuxer: The container.
            job: What is to be sent.
            webm: Whether a Matroska file says that it is WebM, the kind that the service takes.
            convert: Whether to decode the track in any case.
            options: What libavformat has to be told of raw samples.

        Raises:
            PermanentError: There is no sound that can be read, or its channels are not those of the job.
            JobError, Interrupted: Whatever reading the source raised.
        """
        joined, in_order, seekable = False, demuxer != "matroska" or webm, None
        if source.read_at is None or source.size is None:
            track = Track(ordered, demuxer, options=options)
        else:
            joined = demuxer == "ogg" and is_joined(source.read_at, source.size)
            if demuxer == "mov":
                in_order = index_first(source.read_at)
            seekable = SeekableFile(source.read_at, source.size)
            track = Track(seekable, demuxer, joined=joined, options=options)
        try:
            opened = self._opened(track, ordered, job, in_order=in_order, joined=joined, convert=convert)
        except BaseException:
            track.close()
            raise
        if opened.how is not plan.Way.PASS and source.waiting is not None:
            # From now on the job's thread reads, and no other stream does: it may change threads for that.
            for file in ordered, seekable:
                if file is not None:
                    file.wait_by(source.waiting)
        return opened

    def is_alike(self, read_at: ReadAt, size: int, demuxer: str, job: Job) -> bool:
        """Whether all channels of a track begin with the same sound."""
        # Else libavformat would look in plain samples for compressed ones, for a long time.
        options = {"probesize": "4096"} if demuxer == "wav" else None
        track = Track(SeekableFile(read_at, size), demuxer, options=options)
        try:
            converter = Converter(track, job.audio, self._seconds, self._turn)
            return are_alike(converter.chunks(), converter.channels)
        finally:
            track.close()

    def _opened(
        self, track: Track, ordered: OrderedFile, job: Job, *, in_order: bool, joined: bool, convert: bool
    ) -> Opened:
        form, audio = track.format, job.audio
        plan.check_channels(form.channels, audio, job.transcription)
        chosen = audio.mix or bool(audio.channels)
        how = plan.way(form, in_order=in_order, joined=joined, convert=convert or chosen)
        if how is plan.Way.PASS:
            # The bytes are sent in order, so they are read in order, too.
            sent = track if track.file is ordered else _reopened(ordered, form)
            if sent is not None:
                if sent is not track:
                    track.close()
                chunks = passed(sent, ordered, self._seconds)
                return Opened(sent, MEDIA_TYPES[form.demuxer], how, chunks, [])
            how = plan.Way.REPACKAGE
        ordered.keep = False
        if how is plan.Way.REPACKAGE:
            package, muxer = PACKAGES[form.codec]
            return Opened(track, MEDIA_TYPES[package], how, repackaged(track, muxer, self._seconds), [])
        converter = Converter(track, job.audio, self._seconds, self._turn)
        return Opened(track, converter.audio_format, how, converter.chunks(), converter.gaps)


def _reopened(file: OrderedFile, form: Format) -> Track | None:
    """The track, read in order; None for a damaged file that can only be read at will."""
    try:
        return Track(file, form.demuxer, known=form)
    except PermanentError:
        return None
