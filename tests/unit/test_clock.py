"""Deadlines, and the system's clock."""

from datetime import UTC

from worker.clock import Deadline, SystemClock


def test_a_deadline_passes_at_its_very_moment_and_its_rest_is_never_negative() -> None:
    deadline = Deadline.after(3.0, now=10.0)
    assert (deadline.left(10.0), deadline.left(12.5), deadline.left(13.0), deadline.left(99.0)) == (
        3,
        0.5,
        0,
        0,
    )
    assert [deadline.passed(now) for now in (10.0, 12.999, 13.0, 99.0)] == [False, False, True, True]


def test_the_system_clock_never_goes_back_and_knows_its_time_zone() -> None:
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.wall().tzinfo is UTC
