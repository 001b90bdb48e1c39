"""Find out where in a recording the audio of a resumed socket begins.

A script knows its lines by their time in the recording. After a reconnection a client may go on where it
stopped, or repeat what was never confirmed; nothing on the wire says which (PROTOCOL.md 4.7). The sandbox
therefore remembers how loud every 20 ms of a scripted recording were and looks the first sounds of a later
socket up there, at every possible offset between the two grids.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from ops.sandbox.audio.voice import FRAME_SECONDS, frame_levels

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Half a second has to be the same.
_WINDOW = 25
#: A window with fewer different levels is silence, which is everywhere and therefore nowhere.
_DISTINCT = 8
_GIVE_UP_SECONDS = 10.0


class Fingerprint:
    """The loudness of every frame of a recording, by position."""

    def __init__(self) -> None:
        self._levels: array[float] = array("d")

    def write(self, frame: int, levels: array[float]) -> None:
        """Note the frames from this position on, over what was noted there before."""
        if frame > len(self._levels):
            self._levels.extend([0.0] * (frame - len(self._levels)))
        self._levels[frame : frame + len(levels)] = levels

    def positions(self, level: float) -> Iterator[int]:
        """Yield the positions with exactly this level, the latest first."""
        wanted, heard, width = array("d", [level]).tobytes(), self._levels.tobytes(), self._levels.itemsize
        end = len(heard)
        while (at := heard.rfind(wanted, 0, end)) >= 0:
            if at % width == 0:
                yield at // width
            end = at + len(wanted) - 1

    def holds(self, frame: int, levels: array[float]) -> bool:
        """Tell whether exactly these levels were heard from this position on."""
        return self._levels[frame : frame + len(levels)] == levels


class Tracker:
    """Follows the audio of one socket through the recording and keeps the fingerprint up to date."""

    def __init__(self, fingerprint: Fingerprint, *, first: bool, heard_seconds: float) -> None:
        #: Where in the recording the audio of this socket begins; ``None`` until that is known.
        self.base: float | None = 0.0 if first else None
        self._fingerprint = fingerprint
        self._continues_at = heard_seconds
        self._pending: array[int] = array("h")
        self._frame = 0

    def hear(self, samples: array[int], *, rate: int, channels: int) -> None:
        """Take the next samples."""
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
        """Decide now, if need be for the assumption that nothing was repeated."""
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
                # The socket may begin between two frames of the recording; from here on both grids agree.
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
