"""Replies that wait for the time at which they are to be sent."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ops.sandbox.stream.messages import Reply


class Outbox:
    """A FIFO queue of replies, each with a time. A reply never leaves before an earlier one."""

    def __init__(self) -> None:
        self._queue: deque[tuple[float, Reply]] = deque()

    def put(self, replies: Iterable[Reply], at: float) -> None:
        """Queue replies for time ``at``, or for the time of the last queued reply if that is later."""
        for reply in replies:
            due = max(at, self._queue[-1][0]) if self._queue else at
            self._queue.append((due, reply))

    def take(self, now: float) -> list[Reply]:
        """Remove and return the replies that are due."""
        ready = []
        while self._queue and self._queue[0][0] <= now:
            ready.append(self._queue.popleft()[1])
        return ready

    def clear(self) -> None:
        """Discard all replies."""
        self._queue.clear()

    @property
    def due(self) -> float | None:
        """When the next reply is due, or ``None`` if the queue is empty."""
        return self._queue[0][0] if self._queue else None
