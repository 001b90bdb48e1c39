"""Packets of damaged files: time stamps that a flipped bit has changed, and bytes that were skipped."""

from collections.abc import Iterator
from typing import Any

from worker.audio.media.clock import TOLERANCE

#: Containers without time stamps: libavformat counts frames, and does not count those that are lost.
UNSTAMPED = frozenset({"aac", "mp3"})


def repaired(packets: Iterator[Any], tick: float) -> Iterator[Any]:
    """The packets, without time stamps that fit neither the packet before nor the one behind.

    One wrong stamp would look like a gap, and all that follows would be late.

    Args:
        packets: The packets.
        tick: Seconds of one unit of their time stamps.
    """
    tolerance = TOLERANCE / tick
    before: int | None = None  # where the packet before ends
    held = next(packets, None)
    while held is not None:
        following = next(packets, None)
        stamp, lasting = held.pts, held.duration or 0
        if before is not None and stamp is not None and abs(stamp - before) > tolerance:
            behind = None if following is None else following.pts
            if behind is not None and abs(behind - lasting - before) < tolerance:
                held.pts = held.dts = stamp = before
        yield held
        before = None if stamp is None else stamp + lasting
        held = following


#: Bit rates of MPEG audio in kbit/s (ISO/IEC 11172-3 and 13818-3), for layers II and III of version 1, and
#: for both of versions 2 and 2.5.
_RATES_1_2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_RATES_1_3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLING = (44_100, 48_000, 32_000)
_VERSION_1, _LAYER_3, _HEAD = 3, 1, 7


def frame_bytes(head: bytes, demuxer: str) -> int | None:
    """How long a frame of ADTS or MPEG audio says it is; None if its head is no such head."""
    if len(head) < _HEAD or head[0] != 0xFF:  # noqa: PLR2004  # half of the sync word
        return None
    if demuxer == "aac":
        return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate, sampling, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if layer not in {1, 2} or rate in {0, 15} or sampling == len(_SAMPLING) or version == 1:
        return None
    hertz = _SAMPLING[sampling] >> (0 if version == _VERSION_1 else 1 if version == 2 else 2)  # noqa: PLR2004
    if version != _VERSION_1:
        return (72 if layer == _LAYER_3 else 144) * 1000 * _RATES_2[rate] // hertz + padding
    return 144_000 * (_RATES_1_3 if layer == _LAYER_3 else _RATES_1_2)[rate] // hertz + padding


class LostAudio:
    """How much audio is lost in a file without time stamps.

    libavformat skips bytes that belong to no frame, or leaves them behind the frame before.

    Args:
        demuxer: The container.
        tick: Seconds of one unit of a packet's length.

    Attributes:
        seconds: Lost so far, by the average of the frames that are there.
    """

    def __init__(self, demuxer: str, tick: float) -> None:
        self.seconds = 0.0
        self._tick = tick
        self._demuxer = demuxer
        self._end: int | None = None
        self._bytes = 0
        self._lasting = 0.0

    def packet(self, packet: Any) -> None:
        """Take the next packet."""
        size, lasting = packet.size, (packet.duration or 0) * self._tick
        said = frame_bytes(bytes(memoryview(packet)[:_HEAD]), self._demuxer)
        if said is None:
            # Junk that was taken for a frame: it stands for as much audio as it has bytes.
            if self._bytes:
                self.seconds += max(0.0, size * self._lasting / self._bytes - lasting)
            self._end = None
            return
        whole = min(said, size)
        position = packet.pos
        if position is not None and position >= 0:
            if self._end is not None and position > self._end and self._bytes:
                self.seconds += (position - self._end) * self._lasting / self._bytes
            self._end = position + whole
        self._bytes += whole
        self._lasting += lasting
