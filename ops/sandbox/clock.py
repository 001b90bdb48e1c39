"""The only clock of the server: seconds since the epoch that never run backwards."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Monotonic time with an offset, so that it equals the wall clock when the object is made.

    Deadlines, token lifetimes and the timestamps in replies all use it. A change of the system clock while
    the server runs therefore cannot expire a token or a deadline.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return self._offset + time.monotonic()


def timestamp(now: float) -> str:
    """Format seconds since the epoch as the API does: RFC 3339, microseconds, ``Z`` (PROTOCOL.md 3.3)."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
