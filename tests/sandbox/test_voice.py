"""Speech and silence, detected by the signal's energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.sandbox.audio.voice import Ear, Segment, SilenceOver, SilenceStarted, VoiceEvent
from tests.sandbox.sound import interleave, noise, silence, tone

if TYPE_CHECKING:
    from array import array


def listen(
    samples: array[int], *, rate: int = 16_000, channels: int = 1, step: int = 4000
) -> list[VoiceEvent]:
    """Feed samples in pieces and flush at the end."""
    ear = Ear(rate=rate, channels=channels, separate=channels > 1)
    events = [event for at in range(0, len(samples), step) for event in ear.hear(samples[at : at + step])]
    return events + ear.flush()


def segments(events: list[VoiceEvent]) -> list[tuple[float, float]]:
    return [(event.start, event.end) for event in events if isinstance(event, Segment)]


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000])
def test_bounds_do_not_depend_on_the_rate(rate: int) -> None:
    samples = silence(0.8, rate=rate) + tone(1.4, rate=rate) + silence(1, rate=rate)
    ((start, end),) = segments(listen(samples, rate=rate))
    assert (start, end) == pytest.approx((0.8, 2.2), abs=0.05)


@settings(max_examples=25, deadline=None)
@given(
    lead=st.floats(0, 3),
    speech=st.floats(0.2, 4),
    pause=st.floats(0.9, 3),
    loudness=st.sampled_from([600, 3000, 30_000]),
    step=st.integers(100, 9000),
    pure=st.booleans(),
)
def test_bounds_lie_close_to_the_truth(
    lead: float, speech: float, pause: float, loudness: int, step: int, pure: bool
) -> None:
    sound = tone(speech, peak=loudness) if pure else noise(speech, peak=loudness)
    samples = silence(lead) + sound + silence(pause) + sound + silence(0.1)
    found = segments(listen(samples, step=step))
    expected = [(lead, lead + speech), (lead + speech + pause, lead + 2 * speech + pause)]
    assert [one for pair in found for one in pair] == pytest.approx(
        [one for pair in expected for one in pair], abs=0.1
    )


def test_background_noise_is_learnt_and_speech_above_it_found() -> None:
    background = noise(8, peak=150)
    speech = tone(2)
    samples = background[:]
    for at, value in enumerate(speech, start=4 * 16_000):
        samples[at] += value
    late = [pair for pair in segments(listen(samples)) if pair[0] > 2]
    assert len(late) == 1
    assert late[0] == pytest.approx((4, 6), abs=0.1)


def test_speech_from_the_first_sample_is_found() -> None:
    ((start, end),) = segments(listen(tone(2) + silence(1)))
    assert (start, end) == pytest.approx((0, 2), abs=0.05)


def test_clicks_are_no_speech() -> None:
    click = noise(0.03, peak=30_000)
    assert segments(listen((silence(0.5) + click) * 6)) == []


def test_a_short_pause_does_not_end_a_segment() -> None:
    assert len(segments(listen(tone(1) + silence(0.4) + tone(1)))) == 1


def test_unbroken_sound_is_cut_without_a_gap() -> None:
    found = segments(listen(noise(30)))
    assert [end for _, end in found[:-1]] == [start for start, _ in found[1:]]
    assert [end - start for start, end in found] == pytest.approx([13, 13, 4], abs=0.05)


def test_a_segment_is_reported_soon_after_its_end() -> None:
    ear = Ear(rate=16_000, channels=1, separate=False)
    assert segments(ear.hear(silence(1) + tone(1) + silence(0.5))) == []
    assert len(segments(ear.hear(silence(0.2)))) == 1


def test_long_silence_begins_when_sound_ended() -> None:
    noticed = [event for event in listen(tone(1) + silence(11) + tone(1)) if not isinstance(event, Segment)]
    assert [type(event) for event in noticed] == [SilenceStarted, SilenceOver]
    assert [event.at for event in noticed] == pytest.approx([1, 12], abs=0.05)


def test_speech_is_found_in_each_channel_separately() -> None:
    samples = interleave(tone(1) + silence(2), silence(2) + tone(1))
    found = [event for event in listen(samples, channels=2) if isinstance(event, Segment)]
    assert [(event.channel, round(event.start)) for event in found] == [(0, 0), (1, 2)]


def test_speech_in_either_channel_is_found_when_channels_are_not_separate() -> None:
    ear = Ear(rate=16_000, channels=2, separate=False)
    events = ear.hear(interleave(silence(3), silence(1) + tone(1) + silence(1)))
    ((start, end),) = segments(events)
    assert (start, end) == pytest.approx((1, 2), abs=0.05)
