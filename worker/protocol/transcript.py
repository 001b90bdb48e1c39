"""Merges a stream's messages into one result: segments in order of time, newest state of each fact."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from worker.contract.events import Fact, HeardSegment


class Transcript:
    """The result of a job as it grows.

    Segments have no key of their own (their `id` is the interaction's). So channel and time decide whether
    one segment repeats the words of another. An interim segment is left out when

    - final segments of its channel last through more than half of its time, whichever came first; or
    - a later segment of its channel begins at the same moment; or
    - a later interim one of its channel lasts through more than half of its time.

    With less overlap than that it is kept: the times of segments that follow each other overlap a little, and
    a final segment that ends a tenth of a second late must not remove the words that come next.
    """

    def __init__(self) -> None:
        self._final: list[HeardSegment] = []
        # Segments whose final form has not come yet: few at a time.
        self._interim: list[HeardSegment] = []
        self._settled: dict[int, _Spans] = {}
        self._facts: dict[str, Fact] = {}

    def add_segments(self, segments: Iterable[HeardSegment]) -> None:
        """Take in segments as they arrived."""
        for segment in segments:
            settled = self._settled.get(segment.channel)
            if settled is None:
                settled = self._settled[segment.channel] = _Spans()
            if segment.final:
                self._final.append(segment)
                settled.add(segment.start, segment.end)
                if self._interim:
                    self._drop_interim(segment, settled)
            elif not settled.mostly(segment):
                said = _Spans()
                said.add(segment.start, segment.end)
                self._drop_interim(segment, said)
                self._interim.append(segment)

    def _drop_interim(self, newer: HeardSegment, said: "_Spans") -> None:
        """Drop interim segments that `newer` repeats: they begin with it, or lie mostly in `said`."""
        self._interim = [
            old
            for old in self._interim
            if old.channel != newer.channel or not (old.start == newer.start or said.mostly(old))
        ]

    def add_facts(self, facts: Iterable[Fact]) -> None:
        """Take in facts: a fact with a known id replaces the older one."""
        for fact in facts:
            self._facts[fact.id] = fact

    @property
    def segments(self) -> tuple[HeardSegment, ...]:
        """All segments by start, then end.

        An interim one that nothing replaced is kept, as it is: words that were heard must not vanish
        because their final form never came.
        """
        return tuple(sorted((*self._final, *self._interim), key=_by_time))

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The newest state of each fact, in order of first arrival; discarded ones are left out."""
        return tuple(fact for fact in self._facts.values() if not fact.discarded)


def _by_time(segment: HeardSegment) -> tuple[float, float]:
    return segment.start, segment.end


def speech_seconds(segments: Iterable[HeardSegment], seconds: float) -> float:
    """How many of the first `seconds` seconds lie in at least one segment, of whatever channel.

    Nothing outside of these is counted: the service may date the end of a segment a little behind the audio.
    """
    speech = heard_until = 0.0
    for segment in sorted(segments, key=_by_time):
        start, end = max(segment.start, heard_until), min(segment.end, seconds)
        if end > start:
            speech += end - start
            heard_until = end
    return speech


class _Spans:
    """Spans of time in order; spans that meet are joined.

    They are sorted, so that one more segment costs the same after hours as at the beginning, also if segments
    do not come in order. They are kept as numbers: 16 bytes a span, beside the 300 that its segment takes.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts = array("d")
        self._ends = array("d")

    def add(self, start: float, end: float) -> None:
        """Add a span; one without length, or one that runs backwards, adds nothing."""
        if end <= start:
            return
        first = bisect_left(self._ends, start)
        behind = bisect_right(self._starts, end)
        if first < behind:
            start = min(start, self._starts[first])
            end = max(end, self._ends[behind - 1])
        self._starts[first:behind] = array("d", (start,))
        self._ends[first:behind] = array("d", (end,))

    def mostly(self, segment: HeardSegment) -> bool:
        """Whether more than half of a segment's time lies in the spans; without length, its start counts."""
        at = bisect_right(self._ends, segment.start)
        length = segment.end - segment.start
        if length <= 0:
            return at < len(self._starts) and self._starts[at] <= segment.start
        inside = 0.0
        while at < len(self._starts) and self._starts[at] < segment.end:
            inside += min(self._ends[at], segment.end) - max(self._starts[at], segment.start)
            at += 1
        return inside * 2 > length
