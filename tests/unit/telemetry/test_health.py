"""The combined verdict of several checks."""

import pytest

from worker.telemetry.health import _verdict


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
