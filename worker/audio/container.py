"""Finds out with PyAV how long the bytes of compressed audio last.

The container goes to the service as it is; only its packets' time stamps are read here. PyAV reads
through `_Tee`, which keeps the bytes until the packets show how long they last.
"""

from collections.abc import Iterator

import av
import av.error

from worker.contract.errors import PermanentError, Reason
from worker.protocol.pace import MAX_CHUNK_BYTES, Chunk

#: Offset and value of a container's first bytes, and its media type for the service (PROTOCOL.md 5).
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"OggS", "audio/ogg"),
    (0, b"\x1aE\xdf\xa3", "audio/webm"),
    (0, b"fLaC", "audio/flac"),
    (4, b"ftyp", "audio/mp4"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (0, b"\xff\xfa", "audio/mpeg"),
)

#: Media types that the service accepts as `audioFormat`, without parameters (PROTOCOL.md 5).
ACCEPTED = frozenset(
    {
        "audio/ogg",
        "audio/webm",
        "audio/opus",
        "audio/vorbis",
        "audio/mpeg",
        "audio/mp3",
        "audio/mpeg3",
        "audio/flac",
        "audio/mp4",
        "audio/m4a",
    }
)


def essence(media_type: str | None) -> str:
    """The type/subtype of a MIME string, in lower case; empty for None."""
    return (media_type or "").partition(";")[0].strip().lower()


def sniff(head: bytes) -> str | None:
    """The media type that the first bytes of a container show, or None."""
    for offset, magic, media_type in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return media_type
    return None


def container_chunks(blocks: Iterator[bytes], seconds: float) -> Iterator[Chunk]:
    """Cut a container into chunks of `seconds` of audio, at most `MAX_CHUNK_BYTES` each.

    Raises:
        PermanentError: `audio_unsupported`, when PyAV finds no audio in it.
        JobError, Interrupted: Whatever `blocks` raised.
    """
    tee = _Tee(blocks)
    try:
        # `_Tee` has no `seekable`, so PyAV does not seek: a download cannot.
        with av.open(tee, mode="r", metadata_errors="replace") as container:
            if not container.streams.audio:
                raise _unsupported("the file holds no audio")
            stream = container.streams.audio[0]
            first: float | None = None
            begun = end = 0.0  # times at which the bytes not yet cut begin and end
            floor = 0  # no cut at or before this offset: there is the header, or a page that was cut already
            for packet in container.demux(stream):
                if packet.pts is None or packet.time_base is None:
                    continue
                now = float(packet.pts * packet.time_base)
                until = packet.pos if packet.pos is not None and packet.pos > 0 else tee.offset
                if first is None:
                    first, floor = now, until
                now -= first
                end = now + float((packet.duration or 0) * packet.time_base)
                # Packets of one Ogg page share its offset: only the next page's first packet shows its end.
                if until > floor and now - begun >= seconds:
                    yield from _split(tee.cut(until), now - begun, seconds)
                    begun, floor = now, until
            rest = tee.rest()
            if first is None:
                raise _unsupported("the file holds no audio")
            if rest:
                yield from _split(rest, max(0.0, end - begun), seconds)
    except (av.error.FFmpegError, OSError) as error:
        if tee.failure is not None:
            raise tee.failure from None
        raise _unsupported(f"the audio's container cannot be read ({type(error).__name__})") from None


def _split(data: bytes, lasting: float, seconds: float) -> Iterator[Chunk]:
    """Cut bytes that last longer than a chunk into equal parts: a page has only one time stamp."""
    count = max(1, round(lasting / seconds), -(-len(data) // MAX_CHUNK_BYTES))
    size = -(-len(data) // count)
    for start in range(0, len(data), size):
        part = data[start : start + size]
        yield Chunk(part, lasting * len(part) / len(data))


class _Tee:
    """A file-like object for PyAV that keeps the bytes it gave out until `cut` or `rest` takes them."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._ahead = b""
        self._kept = bytearray()
        self._base = 0
        self.failure: Exception | None = None

    @property
    def offset(self) -> int:
        """How far PyAV has read."""
        return self._base + len(self._kept)

    def read(self, size: int) -> bytes:
        """Called by PyAV."""
        if not self._ahead:
            try:
                self._ahead = next(self._blocks, b"")
            except Exception as failure:  # noqa: BLE001  # raised again where PyAV has come back
                # PyAV would replace the exception by one of its own. So keep ours (a JobError, or the job's
                # interrupt) and give PyAV an I/O error.
                self.failure = failure
                raise OSError from None
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        self._kept += data
        return data

    def cut(self, until: int) -> bytes:
        """Take the bytes before offset `until`."""
        count = max(0, min(until - self._base, len(self._kept)))
        data = bytes(self._kept[:count])
        del self._kept[:count]
        self._base += count
        return data

    def rest(self) -> bytes:
        """Take all remaining bytes, including those that PyAV has not read."""
        parts = [bytes(self._kept), self._ahead]
        parts.extend(self._blocks)
        self._kept.clear()
        self._ahead = b""
        return b"".join(parts)


def _unsupported(detail: str) -> PermanentError:
    return PermanentError(Reason.AUDIO_UNSUPPORTED, detail)
