"""Folding a stream's segments and facts into one result."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.examples import fact, heard
from worker.contract.events import HeardSegment
from worker.protocol.transcript import Transcript


def told(*segments: HeardSegment) -> list[str]:
    """The texts of the result, when these segments arrive one by one."""
    transcript = Transcript()
    for one in segments:
        transcript.add_segments([one])
    return [one.text for one in transcript.segments]


def test_segments_are_ordered_by_start_then_end_whatever_the_order_of_arrival() -> None:
    assert told(heard("c", 2, 9), heard("a", 0, 1), heard("d", 3, 4), heard("b", 2, 3)) == list("abcd")


def test_segments_at_the_same_time_stay_in_order_of_arrival() -> None:
    assert told(heard("first", 1, 2, channel=1), heard("second", 1, 2, channel=0)) == ["first", "second"]


def test_an_interim_segment_is_replaced_by_what_overlaps_it() -> None:
    growing = [
        heard("it", 1, 2, final=False),
        heard("it hurts", 1, 3, final=False),
        heard("It hurts.", 1, 3.5),
    ]
    assert told(*growing[:1]) == ["it"]
    assert told(*growing[:2]) == ["it hurts"]
    assert told(*growing) == ["It hurts."]


def test_one_final_segment_replaces_every_interim_one_that_it_covers() -> None:
    assert told(heard("a", 0, 1, final=False), heard("b", 1, 2, final=False), heard("AB", 0, 2)) == ["AB"]


@pytest.mark.parametrize(
    ("start", "end", "replaced"),
    [
        (1, 1, True),
        (1, 9, True),
        (0, 1.6, True),
        (1.4, 9, True),
        (0, 1.1, False),
        (1.9, 9, False),
        (1.5, 9, False),
        (1.4, 1.5, False),
        (0, 1, False),
        (2, 3, False),
    ],
)
@pytest.mark.parametrize("final", [True, False])
def test_an_interim_segment_is_replaced_by_what_starts_with_it_or_lasts_through_most_of_it(
    start: float, end: float, replaced: bool, final: bool
) -> None:
    result = told(heard("old", 1, 2, final=False), heard("new", start, end, final=final))
    assert ("old" in result) is not replaced
    assert "new" in result


def test_a_final_segment_that_ends_a_little_late_leaves_the_next_interim_one_alone() -> None:
    said = [heard("and my knee", 5, 7, final=False), heard("It hurts.", 1, 5.1)]
    assert told(*said) == ["It hurts.", "and my knee"]
    assert told(*reversed(said)) == ["It hurts.", "and my knee"]


def test_an_interim_segment_that_comes_after_its_final_one_is_left_out() -> None:
    assert told(heard("It hurts.", 1, 5), heard("it hur", 1, 4, final=False)) == ["It hurts."]


def test_final_segments_replace_together_what_none_of_them_covers_alone() -> None:
    long = heard("it hurts and my knee", 0.5, 10, final=False)
    parts = [heard("It hurts", 1, 4), heard("and my knee.", 4, 9)]
    assert (
        told(long, *parts)
        == told(*parts, long)
        == told(parts[0], long, parts[1])
        == [
            "It hurts",
            "and my knee.",
        ]
    )
    assert told(long, parts[0]) == ["it hurts and my knee", "It hurts"]


def test_an_interim_segment_without_length_counts_by_its_moment() -> None:
    final = heard("It hurts.", 1, 5)
    assert told(final, heard("hm", 3, 3, final=False)) == ["It hurts."]
    assert told(final, heard("and", 5, 5, final=False)) == ["It hurts.", "and"]


def test_segments_that_end_before_they_start_replace_nothing() -> None:
    final, interim = heard("final", 9, 1), heard("interim", 5, 2, final=False)
    assert set(told(final, heard("kept", 3, 4, final=False), interim)) == {"final", "kept", "interim"}


def test_a_day_of_segments_is_folded_in_a_moment() -> None:
    said = []
    for number in range(30_000):
        start = 3.0 * number
        said += [heard("w", start, start + 2, final=False), heard("W", start, start + 3.1)]
    began = time.process_time()
    transcript = Transcript()
    transcript.add_segments(said)
    assert len(transcript.segments) == 30_000
    # It takes a second if each segment is compared with a few others, and minutes if with all.
    assert time.process_time() - began < 15


def test_another_channel_replaces_nothing() -> None:
    other = heard("patient", 1, 2, channel=1)
    assert set(told(heard("doctor", 1, 2, channel=0, final=False), other)) == {"doctor", "patient"}


def test_a_final_segment_stays_whatever_overlaps_it() -> None:
    assert told(heard("kept", 1, 3), heard("also", 2, 4)) == ["kept", "also"]


def test_words_whose_final_form_never_came_are_kept_and_marked() -> None:
    transcript = Transcript()
    transcript.add_segments([heard("it hur", 1, 2, final=False)])
    assert [(one.text, one.final) for one in transcript.segments] == [("it hur", False)]


#: Times are in eighths of a second, which are exact in binary, so that a test can count in ticks.
spoken = st.builds(
    lambda start, length, channel, final: heard(
        "w", start / 8, (start + length) / 8, channel=channel, final=final
    ),
    st.integers(0, 60),
    st.integers(0, 30),
    st.integers(0, 1),
    st.booleans(),
)


@given(st.lists(spoken, max_size=12))
def test_every_final_segment_is_in_the_result_and_all_are_in_order(segments: list[HeardSegment]) -> None:
    transcript = Transcript()
    transcript.add_segments(segments)
    result = transcript.segments
    assert sorted(result, key=lambda s: (s.start, s.end)) == list(result)
    finals = [one for one in segments if one.final]
    assert [one for one in result if one.final] == sorted(finals, key=lambda s: (s.start, s.end))


def covered(one: HeardSegment, others: list[HeardSegment]) -> bool:
    """Whether others of its channel cover most of a segment's time; the check is simple, and counts ticks."""
    ticks = [one.start + tick / 8 for tick in range(round((one.end - one.start) * 8))] or [one.start]
    heard = [any(other.start <= tick < other.end for other in others) for tick in ticks]
    return sum(heard) * 2 > len(ticks)


def late(one: HeardSegment, segments: list[HeardSegment]) -> bool:
    """Whether an interim segment came after the final ones that cover its time."""
    before = segments[: next(place for place, other in enumerate(segments) if other is one)]
    return covered(one, [other for other in before if other.final and other.channel == one.channel])


@given(st.lists(spoken, max_size=12))
def test_exactly_the_interim_segments_that_others_replace_are_left_out(segments: list[HeardSegment]) -> None:
    transcript = Transcript()
    for one in segments:
        transcript.add_segments([one])
    for place, one in enumerate(segments):
        if one.final:
            continue
        same = [other for other in segments if other.channel == one.channel and other is not one]
        finals = [other for other in same if other.final]
        later = [other for other in segments[place + 1 :] if other.channel == one.channel]
        newer = [other for other in later if not other.final and not late(other, segments)]
        again = (
            covered(one, finals)
            or any(other.start == one.start for other in [*newer, *(other for other in later if other.final)])
            or any(covered(one, [other]) for other in newer)
        )
        assert again is not any(kept is one for kept in transcript.segments)


def test_a_late_interim_segment_is_known_whatever_came_between() -> None:
    count = 5000
    transcript = Transcript()
    transcript.add_segments([heard(f"{number}", number, number + 0.9) for number in reversed(range(count))])
    transcript.add_segments(
        [heard("late", 17.1, 17.8, final=False), heard("new", count, count + 1, final=False)]
    )
    texts = [one.text for one in transcript.segments]
    assert (len(texts), texts[-1]) == (count + 1, "new")


def test_the_newest_state_of_a_fact_counts_in_the_place_of_the_first() -> None:
    transcript = Transcript()
    transcript.add_facts([fact("f1", "pain"), fact("f2", "swelling")])
    transcript.add_facts([fact("f1", "pain in the left knee")])
    assert [one.text for one in transcript.facts] == ["pain in the left knee", "swelling"]


def test_a_discarded_fact_is_gone_until_it_comes_back() -> None:
    transcript = Transcript()
    transcript.add_facts([fact("f1"), fact("f2")])
    transcript.add_facts([fact("f1", discarded=True)])
    assert [one.id for one in transcript.facts] == ["f2"]
    transcript.add_facts([fact("f1")])
    assert [one.id for one in transcript.facts] == ["f1", "f2"]
