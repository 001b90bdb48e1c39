"""Reading a message: from bytes to a job, CloudEvents, and the refusals of bytes that are no job."""

import base64
import json
from codecs import BOM_UTF8

import pytest

from tests.unit.examples import SMALLEST, body
from worker.contract.job import Job
from worker.contract.message import MAX_MESSAGE_BYTES, InvalidJob, Problem, decode

NOT_JSON = Problem("$", "expected JSON in UTF-8 (RFC 8259)")
NO_ENVELOPE = Problem("data", "expected a CloudEvent 1.0 with the job as a JSON object in data")


def problems(message: bytes) -> tuple[Problem, ...]:
    """What is wrong with a message."""
    with pytest.raises(InvalidJob) as refusal:
        Job.from_message(message)
    return refusal.value.problems


def with_metadata(text: str) -> bytes:
    """A good job whose metadata is this JSON text, which Python's encoder might not write."""
    return json.dumps({**SMALLEST, "metadata": 0}).replace('"metadata": 0', f'"metadata": {text}').encode()


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"job",
        b"{'job_id': 'a'}",
        body() + b"{}",
        body().decode().encode("utf-16"),
        b'{"job_id": "\xff"}',
        b'{"\xff": "visit-17"}',
        b'{"job_id": "\\ud800"}',
        b'{"\\udc00": "visit-17"}',
        b"[" * 100_000,
        with_metadata('{"a": ' + "[" * 300 + "]" * 300 + "}"),
        with_metadata('{"a": NaN}'),
        with_metadata('{"a": -Infinity}'),
        with_metadata('{"a": ' + "9" * 5000 + "}"),
    ],
    ids=[
        "empty",
        "cut-short",
        "a-word",
        "single-quotes",
        "two-values",
        "utf-16",
        "bad-utf-8",
        "bad-utf-8-in-a-key",
        "lone-surrogate",
        "lone-surrogate-in-a-key",
        "an-abyss",
        "deep-metadata",
        "nan",
        "infinity",
        "endless-number",
    ],
)
def test_what_is_not_json_in_utf8_is_refused_as_a_whole(message: bytes) -> None:
    assert problems(message) == (NOT_JSON,)


@pytest.mark.parametrize("message", [b"null", b"[]", b'"job"', b"17", b"true"])
def test_json_that_is_no_object_is_refused(message: bytes) -> None:
    assert problems(message) == (Problem("$", "expected a JSON object"),)


def test_a_message_of_one_mebibyte_is_read_and_a_byte_more_is_not() -> None:
    padding = b" " * (MAX_MESSAGE_BYTES - len(body()))
    assert Job.from_message(body() + padding).job_id == "visit-17"
    (problem,) = problems(body() + padding + b" ")
    assert problem == Problem("$", "expected at most 1048576 bytes; put the audio behind a URI")


def test_a_cloud_event_is_read_for_its_data() -> None:
    envelope = {
        "specversion": "1.0",
        "id": "1",
        "source": "/ehr",
        "type": "visit",
        "data": {**SMALLEST, "metadata": {"æ": 1.5}},
        "traceparent": "not looked at",
    }
    assert Job.from_message(json.dumps(envelope).encode()) == Job.from_message(body(metadata={"æ": 1.5}))


@pytest.mark.parametrize(
    "envelope",
    [
        {"specversion": "1.0"},
        {"specversion": "1.0", "data": None},
        {"specversion": "1.0", "data": [SMALLEST]},
        {"specversion": "1.0", "data": json.dumps(SMALLEST)},
    ],
)
def test_an_envelope_without_a_job_in_it_is_refused(envelope: dict[str, object]) -> None:
    assert problems(json.dumps(envelope).encode()) == (NO_ENVELOPE,)


def test_faults_within_an_envelope_are_told_as_those_of_a_plain_job() -> None:
    enveloped = json.dumps({"specversion": "1.0", "data": {**SMALLEST, "pace": 0}}).encode()
    assert problems(enveloped) == problems(body(pace=0))


def test_of_a_key_given_twice_the_last_one_counts_everywhere() -> None:
    twice = body().replace(b"{", b'{"job_id": "visit-16", ', 1)
    text, value = decode(twice)
    assert Job.from_message(twice).job_id == value["job_id"] == json.loads(text)["job_id"] == "visit-17"
    with pytest.raises(InvalidJob) as refusal:
        Job.from_message(twice.replace(b'"visit-17"', b'"not an id"', 1))
    assert refusal.value.job_id is None


def test_a_refusal_knows_the_job_id_when_that_can_be_read() -> None:
    for changed, expected in (
        ({"pace": 0}, "visit-17"),
        ({"job_id": "Ada Example"}, None),
        ({"job_id": 7}, None),
    ):
        with pytest.raises(InvalidJob) as refusal:
            Job.from_message(body(**changed))
        assert refusal.value.job_id == expected


def test_the_text_of_a_refusal_counts_its_problems_and_says_no_more() -> None:
    with pytest.raises(InvalidJob, match=r"^the message is no valid job \(2 problems\)$"):
        Job.from_message(body(pace=0, Ada="Example"))


def test_metadata_as_deep_as_the_reader_goes_is_taken_in_an_envelope_too() -> None:
    deep = with_metadata('{"a": ' + "[" * 150 + "]" * 150 + "}")
    enveloped = b'{"specversion": "1.0", "data": ' + deep + b"}"
    assert Job.from_message(deep) == Job.from_message(enveloped)


def test_an_envelope_of_another_version_is_refused() -> None:
    for version in ("0.3", 1.0):
        (problem,) = problems(json.dumps({"specversion": version, "data": SMALLEST}).encode())
        assert problem == Problem("specversion", 'expected a CloudEvent of version "1.0"')


def test_a_byte_order_mark_is_ignored() -> None:
    """Serializers on .NET write one."""
    assert Job.from_message(BOM_UTF8 + body()) == Job.from_message(body())


@pytest.mark.parametrize("mark", [b"", BOM_UTF8])
def test_a_cloud_event_may_bear_its_job_as_base64(mark: bytes) -> None:
    encoded = base64.b64encode(mark + body(pace=2)).decode()
    envelope = {"specversion": "1.0", "id": "1", "source": "ehr", "type": "job", "data_base64": encoded}
    assert Job.from_message(json.dumps(envelope).encode()) == Job.from_message(body(pace=2))


@pytest.mark.parametrize(
    ("envelope", "field", "expected"),
    [
        ({"data_base64": "e30=", "data": {}}, "data", "in data or in data_base64, and not in both"),
        ({"data_base64": "no base64!"}, "data_base64", "expected base64 text"),
        ({"data_base64": 7}, "data_base64", "expected base64 text"),
        ({"data_base64": "W10="}, "data_base64", "expected a JSON object"),
        ({"data_base64": "/w=="}, "data_base64", "expected JSON in UTF-8"),
    ],
)
def test_base64_without_a_job_in_it_is_refused(
    envelope: dict[str, object], field: str, expected: str
) -> None:
    (problem,) = problems(json.dumps({"specversion": "1.0", **envelope}).encode())
    assert problem.field == field
    assert expected in problem.expected
