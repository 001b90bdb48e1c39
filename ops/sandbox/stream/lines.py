"""Sources of transcript lines: placeholders or a script (`audio.recognise` has a third)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ops.sandbox.stream.messages import Line

if TYPE_CHECKING:
    from array import array

    from ops.sandbox.audio.voice import Segment
    from ops.sandbox.stream.alignment import Tracker
    from ops.sandbox.stream.configuration import Configuration
    from ops.sandbox.stream.script import Script

#: A recording may end this many seconds before the end of its last line.
_TAIL_SECONDS = 0.25


class LineSource(Protocol):
    """Makes transcript lines from samples or speech segments, perhaps in another thread."""

    #: Whether ``segment`` must be called, which requires voice detection.
    wants_segments: bool

    @property
    def idle(self) -> bool:
        """Whether every segment passed so far has its line."""

    def hear(self, samples: array[int], *, rate: int, channels: int) -> None:
        """Take the next interleaved samples; ``rate`` is in Hz."""

    def segment(self, segment: Segment) -> None:
        """Take a speech segment that lies within the samples taken so far."""

    def finish(self) -> None:
        """Declare the end of the samples."""

    def take(self) -> list[Line]:
        """Return the lines completed since the last call."""


def placeholder(segment: Segment) -> str:
    """Return a text with the segment's length only: the sandbox does not invent words."""
    return f"[speech {segment.end - segment.start:.1f} s]"


class PlaceholderLines:
    """Makes one line for each segment, with the length of the speech as its text."""

    wants_segments = True
    idle = True

    def __init__(self, configuration: Configuration) -> None:
        self._speaker = 0 if configuration.diarize else -1
        self._ready: list[Line] = []

    def hear(self, samples: array[int], *, rate: int, channels: int) -> None:
        """Do nothing: the lines depend on the segments only."""

    def segment(self, segment: Segment) -> None:
        """Make the line of one segment."""
        line = Line(placeholder(segment), segment.start, segment.end, segment.channel, self._speaker)
        self._ready.append(line)

    def finish(self) -> None:
        """Do nothing: no line is held back."""

    def take(self) -> list[Line]:
        """Return the lines completed since the last call."""
        ready, self._ready = self._ready, []
        return ready


class ScriptLines:
    """Returns each line of a script as soon as the received audio covers it."""

    wants_segments = False
    idle = True

    def __init__(self, script: Script, tracker: Tracker, configuration: Configuration) -> None:
        self._lines = script.lines
        self._tracker = tracker
        self._multichannel = configuration.multichannel
        self._diarize = configuration.diarize
        self._next = 0
        self._seconds = 0.0
        self._tail = 0.0

    def hear(self, samples: array[int], *, rate: int, channels: int) -> None:
        """Add the length of the samples to the audio received."""
        self._tracker.hear(samples, rate=rate, channels=channels)
        self._seconds += len(samples) / channels / rate

    def segment(self, segment: Segment) -> None:
        """Do nothing: the script has the times of its lines."""

    def finish(self) -> None:
        """From now on return also a line that ends at most 0.25 s after the audio."""
        self._tracker.settle()
        self._tail = _TAIL_SECONDS

    def take(self) -> list[Line]:
        """Return the lines covered since the last call."""
        base = self._tracker.base
        ready: list[Line] = []
        if base is None:
            return ready
        while self._next < len(self._lines):
            line = self._lines[self._next]
            if line.end > base + self._seconds + self._tail:
                break
            self._next += 1
            # A line that ends before this socket's audio begins is not sent on this socket.
            if line.end > base:
                ready.append(line.heard(base=base, multichannel=self._multichannel, diarize=self._diarize))
        return ready
