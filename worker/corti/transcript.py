"""Folding what a stream said into one result: segments in order of time, newest state of each fact."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable

from worker.events import Fact, Segment


class Transcript:
    """The result of a job as it grows.

    Segments carry no key of their own (their `id` is the interaction's), so an interim segment is known by
    its channel and time: a segment of the same channel that takes up most of its time, or begins with it,
    says the same words better. Two that only touch, by the tenth of a second that a recogniser errs, say
    different words.
    """

    def __init__(self) -> None:
        self._final: list[Segment] = []
        #: The same by channel, in order of their start.
        self._by_channel: defaultdict[int, list[Segment]] = defaultdict(list)
        #: Of the longest final of a channel: none that covers a moment begins earlier before it than that.
        self._longest: defaultdict[int, float] = defaultdict(float)
        self._interim: list[Segment] = []
        self._facts: dict[str, Fact] = {}

    def add_segments(self, segments: Iterable[Segment]) -> None:
        """Take in segments as they arrived."""
        for segment in segments:
            if segment.final:
                self._interim = [old for old in self._interim if not _same_words(segment, old)]
                self._final.append(segment)
                insort(self._by_channel[segment.channel], segment, key=_start)
                longest = max(self._longest[segment.channel], segment.end - segment.start)
                self._longest[segment.channel] = longest
            elif not self._is_late(segment):
                self._interim = [old for old in self._interim if not _same_words(segment, old)]
                self._interim.append(segment)

    def _is_late(self, interim: Segment) -> bool:
        """Whether an interim segment comes after the final ones that say its words."""
        finals = self._by_channel[interim.channel]
        if not finals:
            return False
        first = bisect_left(finals, interim.start - self._longest[interim.channel], key=_start)
        covered = 0.0
        for final in finals[first:]:
            if final.start > interim.end:
                break
            if _same_words(interim, final):
                return True
            covered += max(0.0, _shared(interim, final))
        return covered > (interim.end - interim.start) / 2

    def add_facts(self, facts: Iterable[Fact]) -> None:
        """Take in facts: a fact with a known id replaces the older one ."""
        for fact in facts:
            self._facts[fact.id] = fact

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments by start, then end.

        An interim one that nothing replaced is kept, as it is: words that were heard must not vanish
        because their final form never came.
        """
        return tuple(sorted((*self._final, *self._interim), key=lambda s: (s.start, s.end)))

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The newest state of each fact, in order of first arrival; discarded ones are left out."""
        return tuple(fact for fact in self._facts.values() if not fact.discarded)


def _start(segment: Segment) -> float:
    return segment.start


def _shared(one: Segment, other: Segment) -> float:
    """Seconds that both take up; negative for the pause between them."""
    return min(one.end, other.end) - max(one.start, other.start)


def _same_words(one: Segment, other: Segment) -> bool:
    """Whether two segments are the same words, heard twice."""
    if one.channel != other.channel:
        return False
    shorter = min(one.end - one.start, other.end - other.start)
    return one.start == other.start or _shared(one, other) > max(0.0, shorter / 2)
