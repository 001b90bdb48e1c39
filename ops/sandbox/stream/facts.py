"""When a stream sends facts, and which (PROTOCOL.md 4.5, items 4 and 6)."""

from __future__ import annotations

import uuid
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from ops.sandbox.stream.messages import ScriptFact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.sandbox.rest.facts import FactBook
    from ops.sandbox.stream.messages import Line

#: Seconds of audio from one facts message to the next.
_FIXED = 60.0
_FAST_INIT = (10.0, 20.0, 26.0, 38.0)


def intervals(*, fast_init: bool, every: float | None, time_scale: float) -> Iterator[float]:
    """Yield the seconds of audio from one facts message to the next, without end.

    The documented numbers of ``fast_init`` are taken as intervals, because only then do they widen to 60 s.

    Args:
        fast_init: Begin with short intervals.
        every: Always use this interval instead, unscaled.
        time_scale: Factor on the documented intervals.
    """
    if every is not None:
        return repeat(every)
    start = _FAST_INIT if fast_init else ()
    return (seconds * time_scale for seconds in chain(start, repeat(_FIXED)))


class FactPlan:
    """Collects transcript lines and turns them into facts when a facts message is due."""

    def __init__(self, book: FactBook, interaction_id: str, due: Iterator[float]) -> None:
        self._book = book
        self._space = uuid.UUID(interaction_id)
        self._intervals = due
        self._next = next(due)
        self._lines: list[Line] = []

    def add(self, line: Line) -> None:
        """Keep a line for the next facts message."""
        self._lines.append(line)

    def due(self, seconds: float, now: float) -> list[dict[str, Any]]:
        """Return the facts to send after this many seconds of audio: empty before the interval is over."""
        if seconds < self._next:
            return []
        while self._next <= seconds:
            self._next += next(self._intervals)
        return self.remaining(now)

    def remaining(self, now: float) -> list[dict[str, Any]]:
        """Create the facts of all lines added since the last call; return them in the API's JSON shape."""
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
    """Without a model, the only fact that the sandbox can derive from a line is its text."""
    return (ScriptFact("other", f"Heard at {line.start:.1f} s: {line.text}"),)
