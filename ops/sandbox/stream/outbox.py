"""Replies on their way out: in order, and not before their time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ops.sandbox.stream.messages import Reply


class Outbox:
    """A queue in which nothing overtakes what was put in before it."""

    def __init__(self) -> None:
        self._queue: deque[tuple[float, Reply]] = deque()

    def put(self, replies: Iterable[Reply], at: float) -> None:
        """Queue replies that are to leave at this time, or after those before them."""
        for reply in replies:
            due = max(at, self._queue[-1][0]) if self._queue else at
            self._queue.append((due, reply))

    def take(self, now: float) -> list[Reply]:
        """Return the replies whose time has come."""
        ready = []
        while self._queue and self._queue[0][0] <= now:
            ready.append(self._queue.popleft()[1])
        return ready

    def clear(self) -> None:
        """Forget everything."""
        self._queue.clear()

    @property
    def due(self) -> float | None:
        """Return when the next reply leaves."""
        return self._queue[0][0] if self._queue else None
