"""A job's defaults, and its refusals: they name the field and what was expected, and show no value."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.examples import FULL, SMALLEST, body, job
from worker.contract.audio import MAX_INLINE_AUDIO_BYTES
from worker.contract.job import FASTEST, MAX_METADATA_BYTES, Job
from worker.contract.message import InvalidJob

NO_SUCH_KEY = "no such key: the contract does not know it"


def refused(**changes: Any) -> dict[str, str]:
    """What is wrong with the smallest job after these changes: the expectation of each field."""
    with pytest.raises(InvalidJob) as refusal:
        Job.from_message(body(**changes))
    return {problem.field: problem.expected for problem in refusal.value.problems}


def inline(size: int) -> dict[str, str]:
    """Inline audio of so many bytes."""
    return {"data": base64.b64encode(bytes(size)).decode()}


def test_the_smallest_job_gets_every_default() -> None:
    smallest = Job.from_message(json.dumps(SMALLEST).encode())
    assert smallest.encounter_identifier == "visit-17"
    assert (smallest.encounter.status, smallest.encounter.type) == ("planned", "consultation")
    assert (smallest.encounter.period, smallest.encounter.title, smallest.patient) == (None, None, None)
    wanted = smallest.transcription
    assert (wanted.diarize, wanted.multichannel, wanted.keyterms, wanted.replacements) == (
        False,
        False,
        (),
        (),
    )
    assert [(p.channel, p.role) for p in wanted.participants] == [(0, "multiple")]
    output = smallest.output
    assert (output.mode, output.locale, output.fact_interval, output.retention) == (
        "facts",
        None,
        "fixed",
        None,
    )
    assert (smallest.pace, smallest.tenant, smallest.events) == (1.0, None, ())
    assert (smallest.reply_to, smallest.not_after, smallest.traceparent) == (None, None, None)
    assert smallest.metadata == {}
    assert smallest.audio.inline is None


def test_a_full_job_keeps_what_it_was_given() -> None:
    full = Job.from_message(json.dumps(FULL).encode())
    assert full.encounter_identifier == "enc-17"
    assert full.encounter.period is not None
    assert full.encounter.period.started_at == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert full.not_after == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert [p.role for p in full.transcription.participants] == ["doctor", "patient"]
    assert full.transcription.keyterms == ("meniscus", "ibuprofen")
    assert full.events == ("progress", "transcript", "facts")
    assert full.metadata == FULL["metadata"]


def test_inline_audio_is_decoded() -> None:
    assert job(audio={"data": "UklGRg=="}).audio.inline == b"RIFF"


def test_inline_audio_may_be_256_kibibytes_and_no_more() -> None:
    limit = MAX_INLINE_AUDIO_BYTES
    assert job(audio=inline(limit)).audio.inline == bytes(limit)
    expected = "expected 1 to 262144 bytes of audio; use a URI for more"
    assert refused(audio=inline(limit + 1)) == {"audio.data": expected}
    assert refused(audio={"data": ""}) == {"audio.data": expected}


def test_metadata_may_be_16_kibibytes_of_json_and_no_more() -> None:
    fitting = {"a": "b" * (MAX_METADATA_BYTES - len('{"a":""}'))}
    assert job(metadata=fitting).metadata == fitting
    assert refused(metadata={"a": fitting["a"] + "b"}) == {"metadata": "expected at most 16384 bytes of JSON"}


@pytest.mark.parametrize(
    "uri",
    [
        *("https://h/a", "http://h/a", "file:///a", "HTTPS://h/a"),
        *("s3://b/a", "gs://b/a", "az://b/a", "abfs://b/a", "abfss://b@c.dfs.core.windows.net/a"),
    ],
)
def test_audio_may_lie_behind_these_schemes(uri: str) -> None:
    assert job(audio={"uri": uri}).audio.uri == uri


def test_every_status_and_type_of_an_encounter_that_the_service_knows_is_taken() -> None:
    for status in "planned", "in-progress", "on-hold", "completed", "cancelled", "deleted":
        assert job(encounter={"status": status}).encounter.status == status
    for kind in "first_consultation", "consultation", "emergency", "inpatient", "outpatient":
        assert job(encounter={"type": kind}).encounter.type == kind


def test_a_job_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        job().pace = 2.0  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"job_id": None}, "job_id", "a required key is missing, such as"),
        ({"job_id": "a b"}, "job_id", "expected 1 to 128 characters: a letter or digit"),
        ({"job_id": "visit-17\n"}, "job_id", "expected 1 to 128 characters: a letter or digit"),
        ({"job_id": "a" * 129}, "job_id", "expected 1 to 128 characters: a letter or digit"),
        ({"job_id": ""}, "job_id", "expected 1 to 128 characters: a letter or digit"),
        ({"audio": {}}, "audio", "expected exactly one of the keys uri and data"),
        ({"audio": {"uri": "file:///a", "data": "AA=="}}, "audio", "expected exactly one of the keys"),
        ({"audio": {"uri": "ftp://host/a"}}, "audio.uri", "expected a URI that starts with file:, https:"),
        ({"audio": {"uri": "/srv/a.wav"}}, "audio.uri", "expected a URI that starts with"),
        ({"audio": {"uri": "https"}}, "audio.uri", "expected a URI that starts with"),
        ({"audio": {"uri": "https://[::1"}}, "audio.uri", "expected a URI that starts with"),
        ({"audio": {"uri": "https://h/" + "a" * 8192}}, "audio.uri", "expected at most 8192 characters"),
        ({"audio": {"data": "AA=\n="}}, "audio.data", "expected base64 text (RFC 4648, section 4)"),
        ({"audio": {"data": "_-=="}}, "audio.data", "expected base64 text"),
        ({"audio": {"data": "æ"}}, "audio.data", "expected base64 text"),
        (
            {"audio": {"uri": "file:///a", "media_type": "video/mp4"}},
            "audio.media_type",
            'expected a MIME type of audio, such as "audio/wav"',
        ),
        ({"audio": {"uri": "file:///a", "sha256": "ab"}}, "audio.sha256", "64 hexadecimal digits, such as"),
        ({"transcription": {}}, "transcription.language", "a required key is missing"),
        ({"transcription": {"language": "english!"}}, "transcription.language", "expected a language tag"),
        ({"transcription": {"language": "en", "diarize": 1}}, "transcription.diarize", "true or false"),
        (
            {"transcription": {"language": "en", "participants": []}},
            "transcription.participants",
            "a list of 1 or more",
        ),
        ({"output": {"mode": "document"}}, "output.mode", 'expected one of "facts" or "transcription"'),
        ({"output": {"fact_interval": "fast"}}, "output.fact_interval", '"fixed" or "fast_init"'),
        ({"output": {"retention": "keep"}}, "output.retention", '"retain" or "none"'),
        ({"encounter": {"status": "open"}}, "encounter.status", 'one of "planned"'),
        ({"encounter": {"identifier": ""}}, "encounter.identifier", "at least 1 character"),
        ({"encounter": {"period": {}}}, "encounter.period.started_at", "a required key is missing"),
        ({"patient": {"name": "Ada"}}, "patient.identifier", "a required key is missing"),
        (
            {"patient": {"identifier": "4", "birth_date": "3 Feb 1971"}},
            "patient.birth_date",
            'such as "1970-01-31"',
        ),
        ({"assigned_user_id": "me"}, "assigned_user_id", "expected a UUID"),
        ({"pace": 0}, "pace", "greater than 0"),
        ({"pace": "fast"}, "pace", "a number without quotes"),
        ({"pace": 1001}, "pace", "a number not greater than 1000, such as 1"),
        ({"pace": "1"}, "pace", "a number without quotes"),
        ({"tenant": "a/b"}, "tenant", "expected 1 to 64 characters"),
        ({"events": ["progress", "all"]}, "events.1", '"progress", "transcript" or "facts"'),
        ({"events": ["facts"] * 4}, "events", "at most 3"),
        ({"reply_to": "a b"}, "reply_to", "expected the name of a queue"),
        ({"not_after": "2026-03-01T12:00:00"}, "not_after", "a time with its offset"),
        ({"not_after": "tomorrow"}, "not_after", "a time with its offset"),
        ({"not_after": 1772366400}, "not_after", "a time with its offset"),
        ({"traceparent": "00-0-0-00"}, "traceparent", "expected a W3C traceparent, such as"),
        ({"metadata": []}, "metadata", "expected an object with keys"),
        ({"metadata": {"a": "b" * 16384}}, "metadata", "expected at most 16384 bytes of JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_refusal_names_the_field_and_what_was_expected(
    changes: dict[str, Any], field: str, expected: str
) -> None:
    problems = refused(**changes)
    assert list(problems) == [field]
    assert expected in problems[field]


@pytest.mark.parametrize("key", SMALLEST)
def test_a_missing_key_is_named(key: str) -> None:
    message = json.dumps({name: value for name, value in SMALLEST.items() if name != key}).encode()
    with pytest.raises(InvalidJob) as refusal:
        Job.from_message(message)
    (problem,) = refusal.value.problems
    assert problem.field == key
    assert problem.expected.startswith("a required key is missing, such as ")


def test_all_faults_are_told_at_once() -> None:
    assert set(refused(pace=0, tenant="", audio={}, colour="red")) == {"pace", "tenant", "audio", "colour"}


def test_an_unknown_key_is_named_at_every_depth_shortened_and_without_what_does_not_print() -> None:
    assert refused(colour="red") == {"colour": NO_SUCH_KEY}
    assert refused(output={"lang": "en"}) == {"output.lang": NO_SUCH_KEY}
    participants = [{"channel": 0, "role": "doctor", "name": "x"}]
    assert refused(transcription={"language": "en", "participants": participants}) == {
        "transcription.participants.0.name": NO_SUCH_KEY
    }
    assert refused(**{"a\x00\n\x1b[31mb": 1}) == {"a[31mb": NO_SUCH_KEY}
    assert refused(**{"k" * 1000: 1}) == {"k" * 64: NO_SUCH_KEY}
    assert refused(**{"\x00": 1}) == {"$": NO_SUCH_KEY}


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_that_no_result_could_echo_is_refused(number: str) -> None:
    # JSON allows such a number, but a double cannot hold it: in the result it would be no JSON any more.
    message = body(metadata={"a": 0}).replace(b'{"a": 0}', f'{{"a": [{number}]}}'.encode())
    with pytest.raises(InvalidJob) as refusal:
        Job.from_message(message)
    assert [problem.field for problem in refusal.value.problems] == ["metadata"]
    assert "999" not in refusal.value.problems[0].expected


def test_the_fastest_pace_has_a_name() -> None:
    assert job(pace="max").pace == FASTEST
