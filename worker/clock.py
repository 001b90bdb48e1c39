"""Time. The only module that asks the operating system what time it is.

Pure code takes `now` as an argument; adapters and loops hold a `Clock`.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two clocks that must not be confused: one for intervals, one for people."""

    def monotonic(self) -> float:
        """Seconds that only grow; for intervals and deadlines within this process."""
        ...

    def wall(self) -> datetime:
        """Aware UTC time; for records that others read."""
        ...


class SystemClock:
    """The operating system's clocks."""

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    def wall(self) -> datetime:
        """See `Clock.wall`."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Deadline:
    """One budget of time for several waits in a row.

    Attributes:
        at: The moment, on the monotonic clock, at which the budget is used up.
    """

    at: float

    @classmethod
    def after(cls, seconds: float, now: float) -> "Deadline":
        """A budget of `seconds` that starts `now`."""
        return cls(now + seconds)

    def left(self, now: float) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - now)

    def passed(self, now: float) -> bool:
        """Whether the budget is used up."""
        return now >= self.at
