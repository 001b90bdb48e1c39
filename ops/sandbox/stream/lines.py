"""Where the text of a transcript comes from: an honest placeholder, or a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ops.sandbox.stream.messages import Line

if TYPE_CHECKING:
    from array import array

    from ops.sandbox.audio.voice import Segment
    from ops.sandbox.stream.alignment import Tracker
    from ops.sandbox.stream.configuration import Configuration
    from ops.sandbox.stream.script import Script

#: A recording may be trimmed a little after its last word.
_TAIL_SECONDS = 0.25


class LineSource(Protocol):
    """Turns sound or segments into lines, perhaps in another thread."""

    #: Whether ``segment`` wants to be called, which costs voice detection.
    wants_segments: bool

    @property
    def idle(self) -> bool:
        """Whether no line is being worked on."""

    def hear(self, samples: array[int], *, rate: int, channels: int) -> None:
        """Take the next samples."""

    def segment(self, segment: Segment) -> None:
        """Take a stretch of speech that lies within the samples heard."""

    def finish(self) -> None:
        """No more samples come."""

    def take(self) -> list[Line]:
        """Return the lines completed since the last call."""


def placeholder(segment: Segment) -> str:
    """Say what was received, and no more: the sandbox does not invent words."""
    return f"[speech {segment.end - segment.start:.1f} s]"


class PlaceholderLines:
    """Each segment becomes a line that tells how long the speech was."""

    wants_segments = True
    idle = True

    def __init__(self, configuration: Configuration) -> None:
        self._speaker = 0 if configuration.diarize else -1
        self._ready: list[Line] = []

    def hear(self, samples: array[int], *, rate: int, channels: int) -> None:
        """Nothing to do: the segments say it all."""

    def segment(self, segment: Segment) -> None:
        """Describe one segment."""
        line = Line(placeholder(segment), segment.start, segment.end, segment.channel, self._speaker)
        self._ready.append(line)

    def finish(self) -> None:
        """Nothing is held back."""

    def take(self) -> list[Line]:
        """Return the lines completed since the last call."""
        ready, self._ready = self._ready, []
        return ready


class ScriptLines:
    """The lines of a script, each as soon as the audio received covers it."""

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
        """Note how far the recording has come."""
        self._tracker.hear(samples, rate=rate, channels=channels)
        self._seconds += len(samples) / channels / rate

    def segment(self, segment: Segment) -> None:
        """Nothing to do: the script says when somebody speaks."""

    def finish(self) -> None:
        """A line that is all but over when the recording ends counts as heard."""
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
            # A line that was over before this socket's audio begins was not said to this socket.
            if line.end > base:
                ready.append(line.heard(base=base, multichannel=self._multichannel, diarize=self._diarize))
        return ready
