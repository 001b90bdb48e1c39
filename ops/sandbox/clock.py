"""The one clock of the server: seconds since the epoch that never run backwards."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Monotonic time anchored at the wall clock of the start.

    One scale serves deadlines, token lifetimes and the timestamps in replies; a step of the system clock
    while the server runs cannot expire a token or a deadline.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self._offset + time.monotonic()


def timestamp(now: float) -> str:
    """Write a time as the API does: RFC 3339, microseconds, ``Z`` (PROTOCOL.md 3.3)."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
