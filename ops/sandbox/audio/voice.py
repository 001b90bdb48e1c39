"""Detect speech by its loudness: begin and end of segments, and long silences.

Frames of 20 ms are compared with a noise floor that falls fast and rises slowly. The floor has an upper
limit, so that a steady loud sound, which a test may use as speech, never counts as background noise.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass

FRAME_SECONDS = 0.02
#: Shorter sounds (in seconds) count as clicks, not as speech.
_SHORTEST = 0.1
#: A segment begins when this many frames of the onset window are above the threshold.
_ONSET_FRAMES, _ONSET_WINDOW = 3, 5
#: Seconds of silence that end a segment. The service sends a segment 2 to 3.5 s after the end of speech
#: (PROTOCOL.md 4.5, item 3); use ``--latency`` for the difference.
_HANGOVER = 0.6
#: Seconds after which unbroken speech is cut (PROTOCOL.md 4.5, item 3).
_LONGEST = 13.0
#: Noise floor as mean absolute sample value: about -66, -41 and -56 dBFS.
_FLOOR_LOW, _FLOOR_HIGH, _FLOOR_START = 16.0, 300.0, 50.0
#: Speech is at least this many times louder than the floor (9.5 dB).
_RATIO = 3.0
_FALL, _RISE = 0.3, 1.0025
#: Every 5th sample is enough for the loudness of 20 ms. An odd step takes samples of both stereo channels.
_STRIDE = 5


@dataclass(frozen=True)
class Segment:
    """Speech on one channel. Times are seconds from the start of the socket's audio."""

    channel: int
    start: float
    end: float


@dataclass(frozen=True)
class SilenceStarted:
    """A long silence was detected; ``at`` is its begin in seconds."""

    channel: int
    at: float


@dataclass(frozen=True)
class SilenceOver:
    """A long silence has ended; ``at`` is the begin of speech in seconds."""

    channel: int
    at: float


VoiceEvent = Segment | SilenceStarted | SilenceOver


class VoiceDetector:
    """Detects speech segments and long silences in one channel, frame by frame."""

    def __init__(self, channel: int, *, frame_seconds: float, long_silence: float = 10.0) -> None:
        #: The channel number.
        self.number = channel
        self._frame = frame_seconds
        self._long_silence = long_silence
        self._floor = _FLOOR_START
        self._count = 0
        self._recent: deque[bool] = deque(maxlen=_ONSET_WINDOW)
        self._start: int | None = None
        self._last_loud = 0
        self._quiet_since = 0
        self._announced = False

    def hear(self, level: float) -> list[VoiceEvent]:
        """Take the loudness (mean absolute value) of the next frame and return the events it causes."""
        loud = level > max(self._floor, _FLOOR_LOW) * _RATIO
        self._adapt(level)
        self._count += 1
        self._recent.append(loud)
        if loud:
            self._last_loud = self._count
        if self._start is None:
            return self._wait_for_speech()
        if (self._count - self._last_loud) * self._frame >= _HANGOVER - 1e-9:
            return self._finish(self._last_loud)
        if (self._count - self._start) * self._frame >= _LONGEST - 1e-9:
            events = self._finish(self._count)
            self._start = self._count
            return events
        return []

    def flush(self) -> list[VoiceEvent]:
        """End an open segment now, at the end of the audio or on a client's ``flush``."""
        return [] if self._start is None else self._finish(max(self._last_loud, self._start))

    def _adapt(self, level: float) -> None:
        if level < self._floor:
            self._floor += _FALL * (level - self._floor)
        else:
            self._floor = min(self._floor * _RISE, level)
        self._floor = min(max(self._floor, _FLOOR_LOW), _FLOOR_HIGH)

    def _wait_for_speech(self) -> list[VoiceEvent]:
        if sum(self._recent) >= _ONSET_FRAMES:
            begin = self._count - len(self._recent) + list(self._recent).index(True)
            self._start = begin
            self._recent.clear()
            if self._announced:
                self._announced = False
                return [SilenceOver(self.number, begin * self._frame)]
            return []
        if (
            not self._announced
            and (self._count - self._quiet_since) * self._frame >= self._long_silence - 1e-9
        ):
            self._announced = True
            return [SilenceStarted(self.number, self._quiet_since * self._frame)]
        return []

    def _finish(self, end: int) -> list[VoiceEvent]:
        start, self._start = self._start, None
        self._quiet_since = end
        self._recent.clear()
        if start is None or (end - start) * self._frame < _SHORTEST - 1e-9:
            return []
        return [Segment(self.number, start * self._frame, end * self._frame)]


def frame_levels(
    samples: array[int], *, block: int, channels: int, channel: int | None = None
) -> array[float]:
    """Return the mean absolute value (estimated from every 5th sample or so) of each complete frame.

    Args:
        samples: Interleaved samples of all channels.
        block: Samples of one frame, all channels together.
        channels: Number of channels.
        channel: Use this channel only; ``None`` uses all channels together.
    """
    step = channels * _STRIDE if channel is not None else _STRIDE if channels % _STRIDE else _STRIDE + 2
    first = channel or 0
    levels = array("d")
    for at in range(0, len(samples) - block + 1, block):
        piece = samples[at + first : at + block : step]
        levels.append(sum(map(abs, piece)) / len(piece))
    return levels


class Ear:
    """Cuts samples into frames for one detector per channel, or for one detector of all channels."""

    def __init__(self, *, rate: int, channels: int, separate: bool, long_silence: float = 10.0) -> None:
        self._channels = channels
        self._separate = separate and channels > 1
        per_frame = max(1, int(rate * FRAME_SECONDS))
        self._block = per_frame * channels
        self._rest: array[int] = array("h")
        self._detectors = [
            VoiceDetector(number, frame_seconds=per_frame / rate, long_silence=long_silence)
            for number in range(channels if self._separate else 1)
        ]

    def hear(self, samples: array[int]) -> list[VoiceEvent]:
        """Take the next interleaved samples and return the events they cause."""
        if self._rest:
            samples = self._rest + samples
        whole = len(samples) - len(samples) % self._block
        self._rest = samples[whole:]
        events: list[VoiceEvent] = []
        for detector in self._detectors:
            channel = detector.number if self._separate else None
            for level in frame_levels(samples, block=self._block, channels=self._channels, channel=channel):
                events += detector.hear(level)
        return events

    def flush(self) -> list[VoiceEvent]:
        """End every open segment."""
        return [event for detector in self._detectors for event in detector.flush()]
