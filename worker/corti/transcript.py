"""Folding what a stream said into one result: segments in order of time, newest state of each fact."""

from collections.abc import Iterable

from worker.events import Fact, Segment


class Transcript:
    """The result of a job as it grows.

    Segments carry no key of their own (protocol 4.4: `id` is the interaction's), so an interim
    segment is known by its channel and time: the next segment of the same channel that overlaps it
    says the same words better and takes its place.
    """

    def __init__(self) -> None:
        self._final: list[Segment] = []
        self._interim: list[Segment] = []
        self._facts: dict[str, Fact] = {}

    def add_segments(self, segments: Iterable[Segment]) -> None:
        """Take in segments as they arrived."""
        for segment in segments:
            self._interim = [old for old in self._interim if not _replaces(segment, old)]
            (self._final if segment.final else self._interim).append(segment)

    def add_facts(self, facts: Iterable[Fact]) -> None:
        """Take in facts: a fact with a known id replaces the older one (protocol 4.4)."""
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


def _replaces(new: Segment, old: Segment) -> bool:
    same_start = new.start == old.start
    overlap = new.start < old.end and old.start < new.end
    return new.channel == old.channel and (same_start or overlap)
