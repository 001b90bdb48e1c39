"""Dead letters hold the whole message, whatever bytes it consists of."""

import base64
import hashlib
import json
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes import EPOCH
from worker.contract.dead_letter import DeadLetter, FieldError
from worker.contract.errors import Reason
from worker.contract.message import Problem


def letter(body: bytes) -> DeadLetter:
    """A dead letter of a body."""
    return DeadLetter.of(
        body,
        reason=Reason.ATTEMPTS_EXHAUSTED,
        detail="5 attempts failed",
        queue="corti.work",
        received_at=EPOCH,
        dead_at=EPOCH + timedelta(seconds=9),
        cause=Reason.STREAM_SILENT,
        job_id="visit-17",
        problems=(Problem("pace", "expected a number"),),
        attempts=5,
    )


@given(st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode(errors="replace")))
@example(b"")
@example(b"\xed\xa0\x80")
@example('{"name": "Zoë\\u0000"}'.encode())
def test_the_message_can_be_replayed_byte_for_byte(body: bytes) -> None:
    back = DeadLetter.model_validate_json(letter(body).to_json())
    if back.payload is not None:
        replayed = back.payload.encode()
    else:
        replayed = base64.b64decode(back.payload_base64 or "", validate=True)
    assert replayed == body
    assert (back.size, back.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert (back.payload is None) != (back.payload_base64 is None)


@pytest.mark.parametrize(("body", "key"), [(b"{}", "payload"), (b"\xff{}", "payload_base64")])
def test_text_stays_text_and_other_bytes_become_base64(body: bytes, key: str) -> None:
    keys = json.loads(letter(body).to_json()).keys()
    assert keys & {"payload", "payload_base64"} == {key}


def test_it_says_why_when_and_from_where() -> None:
    value = json.loads(letter(b"{}").to_json())
    assert value == {
        "version": 1,
        "id": f"corti.work/{hashlib.sha256(b'{}').hexdigest()}",
        "reason": "attempts_exhausted",
        "detail": "5 attempts failed",
        "cause": "stream_silent",
        "job_id": "visit-17",
        "errors": [{"field": "pace", "expected": "expected a number"}],
        "attempts": 5,
        "queue": "corti.work",
        "received_at": "2026-03-01T09:00:00Z",
        "dead_at": "2026-03-01T09:00:09Z",
        "size": 2,
        "sha256": hashlib.sha256(b"{}").hexdigest(),
        "payload": "{}",
    }


def test_it_comes_back_from_its_json_as_it_was() -> None:
    for body in b"{}", b"\xff":
        assert DeadLetter.model_validate_json(letter(body).to_json()) == letter(body)
    assert letter(b"").errors == (FieldError(field="pace", expected="expected a number"),)
