"""Opens a container with PyAV and finds its sound track: what it is, and how long it lasts."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import av
import av.error

from worker.audio.media.files import OrderedFile, SeekableFile
from worker.audio.media.formats import name_of
from worker.audio.media.repair import UNSTAMPED, LostAudio, repaired
from worker.contract.errors import PermanentError, Reason

#: How many packets may be tried until one decodes. A file of which none does cannot be read at all.
_TRIALS = 200
#: How often in a row reading may fail before what follows counts as lost.
_MOST_ERRORS = 1000
#: Codec tags of MP4 tracks whose content is encrypted (ISO/IEC 14496-12, 8.12; and those of music shops).
_ENCRYPTED_TAGS = frozenset({"enca", "drms", "encv"})
#: What PyAV raises for data that it cannot read.
ERRORS = (av.error.FFmpegError, OSError, ValueError, ZeroDivisionError, IndexError)


@dataclass(frozen=True, slots=True)
class Format:
    """What a sound track is.

    Attributes:
        demuxer: The container, see `worker.audio.media.formats`.
        codec: As libavcodec names it.
        channels: Their number.
        rate: Samples per second.
        seconds: How long it lasts, where the container says so; None otherwise.
        alone: Whether the file holds nothing else: no pictures, no second track.
        packable: Whether its container describes the codec so that another container can, too.
    """

    demuxer: str
    codec: str
    channels: int
    rate: int
    seconds: float | None
    alone: bool
    packable: bool

    def __str__(self) -> str:
        """For people, for example `aac in MP4, 48000 Hz, 2 channels`."""
        plural = "" if self.channels == 1 else "s"
        return f"{self.codec} in {name_of(self.demuxer)}, {self.rate} Hz, {self.channels} channel{plural}"


class Track:
    """An open container and its sound track.

    Args:
        file: The source.
        demuxer: The container.
        joined: Whether the file consists of several, one behind the other: then its length is not known.
        known: What the track is, if that was found out already; then nothing is decoded.
        options: For libavformat.

    Raises:
        PermanentError: There is no sound that can be read.
        JobError, Interrupted: Whatever reading the source raised.
    """

    def __init__(
        self,
        file: OrderedFile | SeekableFile,
        demuxer: str,
        *,
        joined: bool = False,
        known: Format | None = None,
        options: dict[str, str] | None = None,
    ) -> None:
        self.file = file
        self.errors = 0
        #: Seconds that are missing before the packet at hand, and that its time stamp does not count.
        self.lost = 0.0
        self._demuxer = demuxer
        self._joined = joined
        self._known = known
        self._reading = threading.Lock()
        self._left = self.closed = False
        try:
            self._container = av.open(
                file, mode="r", format=demuxer, options=options or {}, metadata_errors="replace"
            )
        except ERRORS as error:
            raise self._refusal(error) from None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        streams: Any = self._container.streams
        if not streams.audio:
            raise PermanentError(
                Reason.AUDIO_NO_SOUND, f"the {name_of(self._demuxer)} file holds no sound track"
            )
        self.stream: Any = streams.best("audio") or streams.audio[0]
        #: Seconds of one unit of a time stamp. Packets have it as a fraction, which is slow.
        self.tick = float(self.stream.time_base)
        context = self.stream.codec_context
        if context is None:
            raise PermanentError(
                Reason.AUDIO_UNSUPPORTED,
                f"the {name_of(self._demuxer)} file's sound is coded in a way that this worker does not know",
            )
        if context.codec_tag in _ENCRYPTED_TAGS:
            raise PermanentError(
                Reason.AUDIO_ENCRYPTED, "the sound track is encrypted; send it without encryption"
            )
        self._packets = repaired(self._demux(), self.tick)
        if self._known is not None:
            self.format = self._known
            return
        try:
            self._begin()
        except ERRORS as error:
            raise self._refusal(error) from None
        self.format = Format(
            self._demuxer,
            context.codec.canonical_name,
            context.layout.nb_channels,
            context.sample_rate,
            self._seconds(),
            alone=len(streams) == 1,
            packable=_packable(context),
        )

    def close(self) -> None:
        """Release what PyAV holds; while another thread reads a packet, leave that to it.

        A read can hang with its file system. libavformat must not lose its memory under such a read: the
        whole process would crash. Does not close the source.
        """
        self._left = True
        self._close_if_left()

    def _close_if_left(self) -> None:
        # Called after `close` and after each read: whichever of them comes last releases.
        if self._left and not self.closed and self._reading.acquire(blocking=False):
            try:
                self._container.close()
                self.closed = True
            finally:
                self._reading.release()

    def packets(self) -> Iterator[Any]:
        """The sound track's packets from the beginning, once. Counts in `errors` what could not be read."""
        if self._demuxer not in UNSTAMPED:
            yield from self._packets
            return
        lost = LostAudio(self._demuxer, self.tick)
        for packet in self._packets:
            lost.packet(packet)
            self.lost = lost.seconds
            yield packet

    def raise_failure(self) -> None:
        """Raise what reading the source raised, if it did."""
        if self.file.failure is not None:
            raise self.file.failure

    def _begin(self) -> None:
        """Decode the first packets, until one gives sound, and put them back."""
        context = self.stream.codec_context
        tried: list[Any] = []
        for packet in islice(self._packets, _TRIALS):
            tried.append(packet)
            try:
                if context.decode(packet):
                    break
            except ERRORS:
                continue
        else:
            raise self._refusal(None)
        context.flush_buffers()
        self._packets = chain(tried, self._packets)

    def _demux(self) -> Iterator[Any]:
        failed = 0
        packets = self._container.demux(self.stream)
        while failed < _MOST_ERRORS and not self._left:
            try:
                with self._reading:
                    packet = next(packets, None)
            except ERRORS:
                self.raise_failure()
                # What comes behind a damaged place may be good: ask again.
                packets = self._container.demux(self.stream)
                failed += 1
                self.errors += 1
                continue
            finally:
                self._close_if_left()
            if packet is None:
                return
            if packet.size:
                failed = 0
                yield packet

    def _seconds(self) -> float | None:
        """The length, where a container states it. For others libavformat guesses, from the bit rate."""
        if self._joined or self._demuxer in {"aac", "amr"}:
            return None
        seconds = 0.0
        if self.stream.duration is not None:
            seconds = float(self.stream.duration * self.stream.time_base)
        elif self._container.duration is not None and len(self._container.streams) == 1:
            seconds = float(self._container.duration / av.time_base)
        # A damaged header can say anything.
        return seconds if seconds > 0 else None

    def _refusal(self, error: Exception | None) -> Exception:
        if self.file.failure is not None:
            return self.file.failure
        kind = f" ({type(error).__name__})" if error else ""
        return PermanentError(
            Reason.AUDIO_UNSUPPORTED,
            f"the audio looks like {name_of(self._demuxer)}, but no sound in it can be read{kind}",
        )


def _packable(context: Any) -> bool:
    extradata = context.extradata or b""
    if context.codec.canonical_name == "opus":
        # CAF has a description of its own (RFC 7845 has the one that others use).
        return extradata.startswith(b"OpusHead")
    return bool(extradata) or context.codec.canonical_name in {"mp3", "aac", "flac"}
