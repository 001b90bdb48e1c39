"""Signs of life, and the verdict over several checks."""

import pytest

from tests.unit.fakes import FakeClock
from worker.health import Pulse, _verdict


def test_a_loop_that_has_not_begun_is_off_duty() -> None:
    pulse = Pulse(FakeClock(), limit=30)
    assert (pulse.beating, pulse.check()) == (False, None)


def test_a_loop_is_stuck_when_it_misses_its_limit_and_well_when_it_turns_again() -> None:
    clock = FakeClock()
    pulse = Pulse(clock, limit=30)
    pulse.beat()
    clock.advance(30)
    assert (pulse.beating, pulse.check()) == (True, None)
    clock.advance(0.1)
    assert (pulse.beating, pulse.check()) == (True, "the loop has not turned for too long")
    pulse.beat()
    assert pulse.check() is None


def test_a_loop_at_rest_is_never_stuck() -> None:
    clock = FakeClock()
    pulse = Pulse(clock, limit=30)
    pulse.beat()
    pulse.rest()
    clock.advance(1000)
    assert (pulse.beating, pulse.check()) == (False, None)


def test_a_loop_that_beat_at_time_zero_is_on_duty() -> None:
    pulse = Pulse(FakeClock(0.0), limit=30)
    pulse.beat()
    assert pulse.beating


@pytest.mark.parametrize(
    ("findings", "status", "text"),
    [
        ({}, 200, "\n"),
        ({"door": None, "consumer": None}, 200, "door: ok\nconsumer: ok\n"),
        ({"door": None, "consumer": "not connected"}, 503, "door: ok\nconsumer: not connected\n"),
        ({"door": "away", "consumer": "away"}, 503, "door: away\nconsumer: away\n"),
    ],
)
def test_one_bad_finding_is_enough_and_all_are_named(
    findings: dict[str, str | None], status: int, text: str
) -> None:
    checks = {name: (lambda finding=finding: finding) for name, finding in findings.items()}
    assert _verdict(checks) == (status, "text/plain; charset=utf-8", text.encode())
