"""How many seconds of the audio have speech."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.examples import heard
from worker.contract.events import HeardSegment
from worker.protocol.transcript import speech_seconds

#: Also before the audio, behind it, without length and backwards. In eighths, which are exact in binary.
spoken = st.builds(
    lambda start, length, channel, final: heard(
        "w", start / 8, (start + length) / 8, channel=channel, final=final
    ),
    st.integers(-20, 100),
    st.integers(-5, 40),
    st.integers(0, 2),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("times", "speech"),
    [
        ([], 0.0),
        ([(1, 3)], 2.0),
        ([(1, 3), (3, 4)], 3.0),
        ([(1, 3), (2, 4)], 3.0),
        ([(1, 9), (2, 3)], 8.0),
        ([(1, 2), (5, 6)], 2.0),
        ([(0, 10)], 10.0),
        ([(9, 12)], 1.0),
        ([(11, 12)], 0.0),
        ([(-3, 1)], 1.0),
        ([(4, 4), (8, 2)], 0.0),
    ],
)
def test_what_lies_in_a_segment_is_speech_as_far_as_there_is_audio(
    times: list[tuple[float, float]], speech: float
) -> None:
    assert speech_seconds([heard("w", start, end) for start, end in times], 10.0) == speech


def test_people_who_speak_at_the_same_time_are_counted_once() -> None:
    both = [heard("w", 1, 4, channel=0), heard("w", 2, 5, channel=1)]
    assert speech_seconds(both, 10.0) == 4.0


def test_words_whose_final_form_never_came_are_speech_too() -> None:
    assert speech_seconds([heard("w", 1, 4, final=False)], 10.0) == 3.0


@given(st.lists(spoken, max_size=12), st.integers(0, 100))
def test_a_moment_is_speech_if_any_segment_lasts_through_it(
    segments: list[HeardSegment], eighths: int
) -> None:
    moments = [any(one.start <= at / 8 < one.end for one in segments) for at in range(eighths)]
    speech = speech_seconds(segments, eighths / 8)
    assert speech * 8 == sum(moments)
    silence = moments.count(False) / 8
    assert speech + silence == eighths / 8


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=12), st.floats(0, 1e5))
def test_speech_is_never_negative_nor_longer_than_the_audio(
    times: list[tuple[float, float]], seconds: float
) -> None:
    speech = speech_seconds([heard("w", start, end) for start, end in times], seconds)
    assert 0 <= speech <= seconds + 1e-6


@given(st.data(), st.lists(spoken, max_size=12))
def test_the_order_of_the_segments_does_not_matter(data: st.DataObject, segments: list[HeardSegment]) -> None:
    other = data.draw(st.permutations(segments))
    assert speech_seconds(other, 10.0) == speech_seconds(segments, 10.0)
