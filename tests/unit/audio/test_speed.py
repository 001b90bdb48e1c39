"""The check whether a download brings audio fast enough."""

import pytest

from worker.audio.speed import WINDOW, Speed


def waits(speed: Speed, seconds: float, *, steps: float = 0.25, audio: float = 0.0) -> float | None:
    """Wait in steps, with so much audio in each; return after how long that was too slow, or None."""
    for count in range(1, round(seconds / steps) + 1):
        if speed.waited(steps):
            return count * steps
        speed.heard(audio)
    return None


@pytest.mark.parametrize("least", [0.01, 0.25, 1.0])
def test_half_a_minute_without_audio_is_too_slow(least: float) -> None:
    assert waits(Speed(least), 60) == WINDOW


@pytest.mark.parametrize(("share", "slow"), [(0.24, True), (0.26, False), (1.0, False)])
def test_the_share_of_real_time_decides(share: float, *, slow: bool) -> None:
    assert (waits(Speed(0.25), 600, audio=0.25 * share) is not None) is slow


def test_a_source_that_stops_is_found_out_half_a_minute_later_whatever_it_brought_before() -> None:
    speed = Speed(0.25)
    speed.heard(3000.0)
    assert waits(speed, 100, audio=10.0) is None
    late = waits(speed, 60)
    assert late is not None
    assert WINDOW <= late <= WINDOW + 1


def test_a_pause_that_is_shorter_is_forgiven() -> None:
    speed = Speed(0.25)
    for _ in range(10):
        assert waits(speed, 25) is None
        speed.heard(10.0)


def test_time_in_which_nobody_waits_does_not_count() -> None:
    speed = Speed(1.0)
    for _ in range(1000):
        assert not speed.waited(0.001)  # a chunk that was there already, perhaps a minute after the last one
        speed.heard(0.25)


def test_zero_is_no_limit() -> None:
    assert waits(Speed(0.0), 3600) is None


def test_it_keeps_no_measurements_from_before_its_window() -> None:
    speed = Speed(0.25)
    assert waits(speed, 3600, audio=1.0) is None
    assert len(speed._marks) <= WINDOW + 2
