"""Folding a stream's words into one result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.examples import fact, segment
from worker.corti.transcript import Transcript
from worker.events import Segment


def told(*segments: Segment) -> list[str]:
    """The texts of the result, after these arrived one by one."""
    transcript = Transcript()
    for one in segments:
        transcript.add_segments([one])
    return [one.text for one in transcript.segments]


def test_segments_are_ordered_by_start_then_end_whatever_the_order_of_arrival() -> None:
    assert told(segment("c", 2, 9), segment("a", 0, 1), segment("d", 3, 4), segment("b", 2, 3)) == list(
        "abcd"
    )


def test_segments_at_the_same_time_stay_in_order_of_arrival() -> None:
    assert told(segment("first", 1, 2, channel=1), segment("second", 1, 2, channel=0)) == ["first", "second"]


def test_an_interim_segment_is_replaced_by_what_overlaps_it() -> None:
    growing = [
        segment("it", 1, 2, final=False),
        segment("it hurts", 1, 3, final=False),
        segment("It hurts.", 1, 3.5),
    ]
    assert told(*growing[:1]) == ["it"]
    assert told(*growing[:2]) == ["it hurts"]
    assert told(*growing) == ["It hurts."]


def test_one_final_segment_replaces_every_interim_one_that_it_covers() -> None:
    assert told(segment("a", 0, 1, final=False), segment("b", 1, 2, final=False), segment("AB", 0, 2)) == [
        "AB"
    ]


@pytest.mark.parametrize(
    ("start", "end", "replaced"),
    [
        (1, 1, True),
        (1, 9, True),
        (0, 1.6, True),
        (1.4, 9, True),
        (1.4, 1.5, True),
        (0, 1.1, False),
        (1.9, 9, False),
        (0, 1, False),
        (2, 3, False),
    ],
)
def test_only_what_takes_up_most_of_the_time_replaces(start: float, end: float, replaced: bool) -> None:
    assert ("old" in told(segment("old", 1, 2, final=False), segment("new", start, end))) is not replaced


def test_another_channel_replaces_nothing() -> None:
    other = segment("patient", 1, 2, channel=1)
    assert set(told(segment("doctor", 1, 2, channel=0, final=False), other)) == {"doctor", "patient"}


def test_a_final_segment_stays_whatever_overlaps_it() -> None:
    assert told(segment("kept", 1, 3), segment("also", 2, 4)) == ["kept", "also"]


def test_words_whose_final_form_never_came_are_kept_and_marked() -> None:
    transcript = Transcript()
    transcript.add_segments([segment("it hur", 1, 2, final=False)])
    assert [(one.text, one.final) for one in transcript.segments] == [("it hur", False)]


times = st.integers(0, 6)
spoken = st.builds(
    lambda start, length, channel, final: segment("w", start, start + length, channel=channel, final=final),
    times,
    st.integers(0, 3),
    st.integers(0, 1),
    st.booleans(),
)


@given(st.lists(spoken, max_size=12))
def test_every_final_segment_is_in_the_result_and_all_are_in_order(segments: list[Segment]) -> None:
    transcript = Transcript()
    transcript.add_segments(segments)
    result = transcript.segments
    assert sorted(result, key=lambda s: (s.start, s.end)) == list(result)
    finals = [one for one in segments if one.final]
    assert [one for one in result if one.final] == sorted(finals, key=lambda s: (s.start, s.end))
    assert not segments or segments[-1] in result or not segments[-1].final


@given(st.lists(spoken, max_size=12))
def test_interim_words_are_in_the_result_unless_final_ones_or_later_ones_say_them(
    segments: list[Segment],
) -> None:
    transcript = Transcript()
    for one in segments:
        transcript.add_segments([one])
    result = transcript.segments
    for number, interim in enumerate(segments):
        if interim.final:
            continue
        others = [one for one in segments if one.channel == interim.channel and one is not interim]
        said = [one for one in others if one.final or one in segments[number + 1 :]]
        apart = all(min(one.end, interim.end) <= max(one.start, interim.start) for one in said)
        if apart and all(one.start != interim.start for one in said):
            assert interim in result, "nobody else said it"
        for final in (one for one in others if one.final):
            if final.start <= interim.start and interim.end <= final.end and interim.start < interim.end:
                assert interim not in result or interim in [one for one in segments if one.final]


def test_a_final_segment_that_touches_the_next_interim_leaves_it() -> None:
    """A recogniser errs by a tenth of a second where one sentence ends and the next begins."""
    assert told(segment("next", 2.0, 3.0, final=False), segment("First.", 0.0, 2.1)) == ["First.", "next"]


def test_an_interim_segment_that_comes_after_its_final_is_no_second_one() -> None:
    assert told(segment("It hurts.", 1, 3), segment("it hur", 1, 2.5, final=False)) == ["It hurts."]
    assert told(segment("It", 1, 2), segment("hurts.", 2, 3), segment("it hurts", 1.2, 2.8, final=False)) == [
        "It",
        "hurts.",
    ]


def test_a_late_interim_segment_is_known_whatever_came_between() -> None:
    count = 5000
    transcript = Transcript()
    transcript.add_segments([segment(f"{number}", number, number + 0.9) for number in reversed(range(count))])
    transcript.add_segments(
        [segment("late", 17.1, 17.8, final=False), segment("new", count, count + 1, final=False)]
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
