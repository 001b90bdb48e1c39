"""Whether a download brings audio fast enough. Pure: time comes in as a number."""

from collections import deque

#: Seconds of waiting over which the speed is measured, and between two marks of the measurement.
WINDOW, _GRAIN = 30.0, 1.0
#: So many bytes count as a second of audio where nobody knows yet how long they last, as in an index or a
#: copy: those of 16 kHz and 16 bit.
BYTES_PER_SECOND = 32_000


class Speed:
    """Compares the audio that arrived with the time that was spent waiting for it.

    Only waiting counts. A download that is read at the pace of speech stands still most of the time because
    nobody reads it; that is no fault of its server.

    Args:
        least: Seconds of audio that each second of waiting must bring; 0 for no limit.
    """

    __slots__ = ("_audio", "_least", "_marks", "_waited")

    def __init__(self, least: float) -> None:
        self._least = least
        self._waited = self._audio = 0.0
        # Marks `_GRAIN` apart: seconds waited, seconds of audio. The first is `WINDOW` old, or the start.
        self._marks = deque([(0.0, 0.0)])

    def heard(self, seconds: float) -> None:
        """Add seconds of audio that have arrived."""
        self._audio += seconds

    def waited(self, seconds: float) -> bool:
        """Add seconds that were spent waiting; returns whether the download is too slow."""
        self._waited += seconds
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= self._waited - WINDOW:
            marks.popleft()
        waited, audio = self._waited - marks[0][0], self._audio - marks[0][1]
        if self._waited - marks[-1][0] >= _GRAIN:
            marks.append((self._waited, self._audio))
        return waited >= WINDOW and audio < self._least * waited
