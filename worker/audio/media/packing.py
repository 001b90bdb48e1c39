"""Writes packets into a container that grows: what was written so far can be taken at any time."""

from fractions import Fraction
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

#: Seconds of audio after which a muxer writes what it has, in microseconds as its options want it.
_FLUSH = "200000"
_OPTIONS = {
    "ogg": {"page_duration": _FLUSH},
    # A fragmented MP4: its index lies before each part, so that it can be sent while it is made. The header
    # waits for the first packet, because only a packet of ADTS shows what the header has to say.
    "mp4": {"movflags": "delay_moov+default_base_moof", "frag_duration": _FLUSH},
    # Tags are left out: they may hold names.
    "mp3": {"id3v2_version": "0", "write_xing": "0", "write_id3v1": "0"},
    "flac": {},
}
#: Units in a second of the packets that are written.
_RATE = 48_000
_TIME_BASE = Fraction(1, _RATE)


class _Written:
    """The file-like object that PyAV writes to. It has no `seek`, so the muxer writes in order."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


class Package:
    """A container that is being written.

    Args:
        muxer: As libavformat names it.
        stream: The track of another container, whose packets this one gets.
    """

    def __init__(self, muxer: str, stream: Any) -> None:
        self._written = _Written()
        self._container = av.open(self._written, mode="w", format=muxer, container_options=_OPTIONS[muxer])
        self._stream = self._container.add_stream_from_template(stream, opaque=True)
        self._tick = float(stream.time_base)
        self._filter: Any = None
        if stream.codec_context.codec.canonical_name == "aac" and not stream.codec_context.extradata:
            # ADTS describes the sound in each packet, MP4 does so in its header.
            self._filter = BitStreamFilterContext("aac_adtstoasc", stream, self._stream)
        # Names and titles stay here.
        self._container.metadata.clear()
        self._stream.metadata.clear()

    def put(self, packet: Any, begin: float) -> None:
        """Write a packet that begins so many seconds after the beginning of the audio."""
        if packet.duration:
            packet.duration = round(packet.duration * self._tick * _RATE)
        packet.time_base = _TIME_BASE
        packet.pts = packet.dts = round(begin * _RATE)
        for filtered in (packet,) if self._filter is None else self._filter.filter(packet):
            filtered.stream = self._stream
            self._container.mux(filtered)

    def taken(self) -> bytes:
        """Take what was written."""
        data = bytes(self._written.data)
        self._written.data.clear()
        return data

    def end(self) -> None:
        """Write what the container ends with, and release what PyAV holds."""
        self._container.close()
