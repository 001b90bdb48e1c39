"""The time of packets and frames on the audio's own clock, also where their time stamps jump. Pure."""

#: For packets: containers round their lengths and time stamps. Seconds.
TOLERANCE = 0.1
#: A jump ahead that is longer than this, where the audio's length is not known, is a wrong time stamp.
_LONGEST_GAP = 600.0


class AudioClock:
    """Turns time stamps into seconds from the beginning of the audio that never run backwards.

    Files that were joined begin again at zero in the middle. Damaged files lack a part.

    Args:
        total: How long the audio lasts, if that is known.
        tolerance: Time stamps that differ by less from what the audio before them lasts mean no gap.
    """

    __slots__ = ("_origin", "_tolerance", "_total", "_vague", "position")

    def __init__(self, total: float | None, tolerance: float = TOLERANCE) -> None:
        self._total = total
        self._tolerance = tolerance
        self._origin: float | None = None
        self._vague = False
        #: Where the next packet begins if nothing is missing.
        self.position = 0.0

    def gap(self, stamp: float | None) -> float:
        """Seconds that are missing before what has this time stamp; 0 without a gap."""
        if stamp is None:
            return 0.0
        if self._origin is None:
            self._origin = stamp
        ahead = stamp - self._origin - self.position
        if abs(ahead) < self._tolerance:
            return 0.0
        limit = _LONGEST_GAP if self._total is None else self._total - self.position
        if 0 < ahead <= limit:
            return ahead
        # It starts anew here, or the stamp is wrong: go on from where we are.
        self._origin = stamp - self.position
        return 0.0

    def packet(self, stamp: float | None, seconds: float) -> tuple[float, float]:
        """Take the next packet.

        Args:
            stamp: Its time stamp.
            seconds: How long it lasts; 0 where the container does not say.

        Returns:
            When it begins, and the seconds that are missing before it.
        """
        gap = self.gap(stamp)
        if stamp is not None and self._origin is not None and not gap:
            # Lengths of packets are rounded, and their errors add up; time stamps are exact.
            self.position = max(self.position - self._tolerance, stamp - self._origin)
        if gap and self._vague:
            # The packet before had no length: it lasts until here.
            self.position += gap
            gap = 0.0
        begin = self.position + gap
        self.position = begin + seconds
        self._vague = seconds == 0 and stamp is not None
        return begin, gap
