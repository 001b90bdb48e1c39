"""The audio's own clock: it never runs backwards, and a gap is known from a new beginning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.audio.media.clock import TOLERANCE, AudioClock


def test_packets_that_follow_each_other_have_no_gap() -> None:
    clock = AudioClock(None)
    for number in range(3):
        begin, gap = clock.packet(5 + 0.02 * number, 0.02)
        assert begin == pytest.approx(0.02 * number)
        assert gap == 0


def test_a_missing_part_is_a_gap_and_what_follows_keeps_its_time() -> None:
    clock = AudioClock(None)
    clock.packet(0.0, 1.0)
    assert clock.packet(3.5, 1.0) == (3.5, 2.5)
    assert clock.packet(4.5, 1.0) == (4.5, 0.0)


def test_a_file_that_begins_again_goes_on_where_it_was() -> None:
    clock = AudioClock(None)
    clock.packet(0.0, 10.0)
    assert clock.packet(0.0, 10.0) == (10.0, 0.0)
    assert clock.packet(10.0, 1.0) == (20.0, 0.0)


@pytest.mark.parametrize(("total", "stamp"), [(5.0, 9.0), (None, 700.0)])
def test_a_time_stamp_beyond_the_end_is_no_gap(total: float | None, stamp: float) -> None:
    clock = AudioClock(total)
    clock.packet(0.0, 1.0)
    assert clock.packet(stamp, 1.0) == (1.0, 0.0)


def test_a_packet_without_a_length_lasts_until_the_next_one() -> None:
    clock = AudioClock(None)
    clock.packet(0.0, 0.0)
    assert clock.packet(0.5, 0.0) == (0.5, 0.0)


def test_lengths_that_are_rounded_do_not_add_up_to_a_gap() -> None:
    clock = AudioClock(None)
    gaps = [clock.packet(0.02 * n, 0.0195)[1] for n in range(3000)]
    assert not any(gaps)


@given(st.lists(st.tuples(st.one_of(st.none(), st.floats(-1e4, 1e4)), st.floats(0, 10)), max_size=50))
def test_no_time_stamps_turn_the_clock_back(packets: list[tuple[float | None, float]]) -> None:
    clock = AudioClock(None)
    before = 0.0
    for stamp, seconds in packets:
        begin, gap = clock.packet(stamp, seconds)
        assert gap >= 0
        assert begin >= before - 2 * TOLERANCE
        before = max(before, begin)
