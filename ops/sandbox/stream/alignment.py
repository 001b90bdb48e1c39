"""Find the position in a recording at which the audio of a later socket begins.

The lines of a script have times in the recording. After a reconnection a client may continue where it
stopped, or repeat audio; no message says which (PROTOCOL.md 4.7). The sandbox therefore stores the loudness
of every 20 ms frame of a scripted recording and searches it for the first sounds of a later socket. The
frames of the two sockets need not start at the same samples, so the search tries every offset.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from ops.sandbox.audio.voice import FRAME_SECONDS, frame_levels

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Frames that must match: half a second.
_WINDOW = 25
#: A window with fewer different levels is silence, which matches at many positions.
_DISTINCT = 8
_GIVE_UP_SECONDS = 10.0


class Fingerprint:
    """The loudness of every 20 ms frame of a recording, by frame number."""

    def __init__(self) -> None:
        self._levels: array[float] = array("d")

    def write(self, frame: int, levels: array[float]) -> None:
        """Store the levels from ``frame`` on and overwrite older ones there."""
        if frame > len(self._levels):
            self._levels.extend([0.0] * (frame - len(self._levels)))
        self._levels[frame : frame + len(levels)] = levels

    def positions(self, level: float) -> Iterator[int]:
        """Yield the frame numbers with exactly this level, the last first."""
        wanted, stored, width = array("d", [level]).tobytes(), self._levels.tobytes(), self._levels.itemsize
        end = len(stored)
        while (at := stored.rfind(wanted, 0, end)) >= 0:
            if at % width == 0:
                yield at // width
            end = at + len(wanted) - 1

    def holds(self, frame: int, levels: array[float]) -> bool:
        """Tell whether exactly these levels are stored from ``frame`` on."""
        return self._levels[frame : frame + len(levels)] == levels


class Tracker:
    """Maps the audio of one socket to the recording and updates the fingerprint."""

    def __init__(self, fingerprint: Fingerprint, *, first: bool, heard_seconds: float) -> None:
        #: Second of the recording at which this socket's audio begins; ``None`` until it is known.
        self.base: float | None = 0.0 if first else None
        self._fingerprint = fingerprint
        self._continues_at = heard_seconds
        self._pending: array[int] = array("h")
        self._frame = 0

    def hear(self, samples: array[int], *, rate: int, channels: int) -> None:
        """Take the next interleaved samples; ``rate`` is in Hz."""
        self._pending += samples
        block = max(1, int(rate * FRAME_SECONDS)) * channels
        if self.base is None:
            self._locate(rate, channels, block)
        if self.base is not None:
            whole = len(self._pending) - len(self._pending) % block
            levels = frame_levels(self._pending[:whole], block=block, channels=channels)
            self._fingerprint.write(self._frame, levels)
            self._frame += len(levels)
            del self._pending[:whole]

    def settle(self) -> None:
        """If ``base`` is still unknown, assume that the client continued where it stopped."""
        if self.base is None:
            self._frame = round(self._continues_at / FRAME_SECONDS)
            self.base = self._continues_at

    def _locate(self, rate: int, channels: int, block: int) -> None:
        start = 0
        while len(self._pending) - start >= (_WINDOW + 1) * block:
            window = self._pending[start : start + (_WINDOW + 1) * block]
            coarse = frame_levels(window[: _WINDOW * block], block=block, channels=channels)
            if len(set(coarse)) >= _DISTINCT:
                found = self._search(window, block, channels)
                if found is None:
                    self.settle()
                    return
                frame, phase = found
                skipped = start + phase
                # The socket may begin inside a frame of the recording; after ``skipped`` the frames coincide.
                self.base = max(0.0, frame * FRAME_SECONDS - skipped / channels / rate)
                self._frame = frame
                del self._pending[:skipped]
                return
            start += _WINDOW * block
        if start / channels / rate >= _GIVE_UP_SECONDS:
            self.settle()

    def _search(self, window: array[int], block: int, channels: int) -> tuple[int, int] | None:
        for phase in range(0, block, channels):
            first = frame_levels(window[phase : phase + block], block=block, channels=channels)
            for frame in self._fingerprint.positions(first[0]):
                piece = window[phase : phase + _WINDOW * block]
                if self._fingerprint.holds(frame, frame_levels(piece, block=block, channels=channels)):
                    return frame, phase
        return None
