"""Retry-After in every form that RFC 9110 allows, and the statuses of faults that pass by themselves."""

from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import EPOCH
from worker.network.http_status import passes, retry_after


def test_time_outs_and_the_servers_own_errors_pass() -> None:
    assert [status for status in range(200, 510) if passes(status)] == [408, 425, 429, *range(500, 510)]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 3 ", 3.0),
        (format_datetime(EPOCH + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(EPOCH - timedelta(seconds=90), usegmt=True), 0.0),
        ("Sunday, 01-Mar-26 09:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 09:00:30", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Sun, 99 Mar 2026 09:00:30 GMT", None),
    ],
)
def test_the_forms_of_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, EPOCH) == seconds


@given(st.text(max_size=30))
def test_no_retry_after_makes_the_reader_raise(value: str) -> None:
    seconds = retry_after(value, EPOCH)
    assert seconds is None or seconds >= 0
