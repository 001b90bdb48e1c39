"""When facts are sent and what they say (PROTOCOL.md 4.5, items 4 and 6)."""

from __future__ import annotations

import uuid
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from ops.sandbox.stream.messages import ScriptFact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.sandbox.rest.facts import FactBook
    from ops.sandbox.stream.messages import Line

#: Seconds from one message with facts to the next.
_FIXED = 60.0
_FAST_INIT = (10.0, 20.0, 26.0, 38.0)


def intervals(*, fast_init: bool, every: float | None, time_scale: float) -> Iterator[float]:
    """Yield the seconds of audio from one message with facts to the next.

    The documented numbers of ``fast_init`` are read as intervals: only so do they widen to 60 s.

    Args:
        fast_init: Begin with short intervals.
        every: Use this interval throughout instead, unscaled.
        time_scale: Factor on the documented intervals.
    """
    if every is not None:
        return repeat(every)
    start = _FAST_INIT if fast_init else ()
    return (seconds * time_scale for seconds in chain(start, repeat(_FIXED)))


class FactPlan:
    """Collects what was said and states it as facts when the time has come."""

    def __init__(self, book: FactBook, interaction_id: str, due: Iterator[float]) -> None:
        self._book = book
        self._space = uuid.UUID(interaction_id)
        self._intervals = due
        self._next = next(due)
        self._lines: list[Line] = []

    def add(self, line: Line) -> None:
        """Take note of a line."""
        self._lines.append(line)

    def due(self, seconds: float, now: float) -> list[dict[str, Any]]:
        """Return the facts to send once this much audio was heard; most often none."""
        if seconds < self._next:
            return []
        while self._next <= seconds:
            self._next += next(self._intervals)
        return self.remaining(now)

    def remaining(self, now: float) -> list[dict[str, Any]]:
        """Return all facts that have not been sent yet."""
        lines, self._lines = self._lines, []
        latest: dict[str, dict[str, Any]] = {}
        for line in lines:
            for fact in _quote(line) if line.facts is None else line.facts:
                stated = self._book.state(
                    text=fact.text,
                    group=fact.group,
                    identifier=None if fact.key is None else str(uuid.uuid5(self._space, fact.key)),
                    discarded=fact.discarded,
                    now=now,
                )
                latest[stated["id"]] = stated
        return list(latest.values())


def _quote(line: Line) -> tuple[ScriptFact, ...]:
    """Without a model there is one honest fact about a line: that it was said."""
    return (ScriptFact("other", f"Heard at {line.start:.1f} s: {line.text}"),)
