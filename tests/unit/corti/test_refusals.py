"""What each HTTP status of the service means for a job, and when the service asks us to try again."""

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import EPOCH
from worker.contract.errors import JobError, PermanentError, TokenRefused, TransientError
from worker.corti.rest.http import refusal

PATIENT = "Ada Example"


def answer(status: int, body: str = "", **headers: str) -> requests.Response:
    """An answer of the service."""
    response = requests.Response()
    response.status_code = status
    response._content = body.encode()
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def told(response: requests.Response) -> JobError:
    """The error that the answer is mapped to."""
    return refusal(response, "Corti API", EPOCH)


@pytest.mark.parametrize(
    ("status", "body", "error_class", "reason"),
    [
        (400, "", PermanentError, "interaction_refused"),
        (400, '{"type": "https://docs.corti.ai/errors#a0003"}', PermanentError, "interaction_refused"),
        (400, '{"type": "https://docs.corti.ai/errors#a0017"}', PermanentError, "duplicate_encounter"),
        (400, '{"code": "A0017"}', PermanentError, "duplicate_encounter"),
        (401, "", TokenRefused, "auth_rejected"),
        (403, "", PermanentError, "forbidden"),
        (403, '{"type": "A0001", "detail": "forbidden"}', PermanentError, "forbidden"),
        (403, '{"type": "A0004", "detail": "invalid token"}', TokenRefused, "auth_rejected"),
        (403, '{"type": "a0005"}', TokenRefused, "auth_rejected"),
        (404, "", PermanentError, "interaction_refused"),
        (408, "", TransientError, "upstream_unavailable"),
        (409, "", PermanentError, "duplicate_encounter"),
        (409, '{"detail": "exists"}', PermanentError, "duplicate_encounter"),
        (422, "", PermanentError, "interaction_refused"),
        (425, "", TransientError, "upstream_unavailable"),
        (429, "", TransientError, "rate_limited"),
        (429, '{"detail": "too many requests"}', TransientError, "rate_limited"),
        (429, "<h1>Limited by the load balancer</h1>", TransientError, "rate_limited"),
        (429, '{"type": "A0021"}', PermanentError, "quota_exhausted"),
        (429, '{"detail": "Insufficient balance"}', PermanentError, "quota_exhausted"),
        (500, "", TransientError, "upstream_unavailable"),
        (502, "<html>", TransientError, "upstream_unavailable"),
        (503, "", TransientError, "upstream_unavailable"),
        (504, '{"code": "A0002"}', TransientError, "upstream_unavailable"),
        (599, "", TransientError, "upstream_unavailable"),
    ],
)
def test_a_status_means_one_thing(status: int, body: str, error_class: type[JobError], reason: str) -> None:
    error = told(answer(status, body))
    assert (type(error), error.reason) == (error_class, reason)
    assert f"HTTP {status}" in error.detail


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "forbidden"), (400, "interaction_refused"), (429, "rate_limited")]
)
def test_a_request_id_that_happens_to_contain_a_code_is_none(status: int, reason: str) -> None:
    body = '{"requestid": "3fa0004b-a0017c-9a00210d", "detail": "no"}'
    assert told(answer(status, body)).reason == reason


@given(st.integers(400, 599), st.binary(max_size=30))
def test_every_status_with_any_body_has_a_meaning_and_quotes_nothing(status: int, junk: bytes) -> None:
    response = answer(status)
    response._content = PATIENT.encode() + junk
    assert PATIENT not in str(told(response))


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_a_transient_refusal_says_when_to_come_back(status: int) -> None:
    error = told(answer(status, Retry_After="17"))
    assert isinstance(error, TransientError)
    assert error.retry_after == 17.0
    silent = told(answer(status))
    assert isinstance(silent, TransientError)
    assert silent.retry_after is None
