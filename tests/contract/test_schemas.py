"""The JSON Schemas that `corti-worker schema` prints agree with the models that they were made from."""

import json
from functools import cache
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.fakes import EPOCH
from tests.unit.examples import FULL, SMALLEST, fact, segment
from worker.cli import main
from worker.contract import events
from worker.contract.dead_letter import DeadLetter
from worker.contract.errors import Reason
from worker.contract.events import (
    AudioFigures,
    Completed,
    Event,
    Facts,
    Failed,
    ResultAudio,
    Segments,
    Started,
)
from worker.contract.job import Job
from worker.contract.message import InvalidJob, Problem


@cache
def schema(contract: str) -> dict[str, Any]:
    """The schema that the command prints."""
    printed = CliRunner().invoke(main, ["schema", contract])
    assert printed.exit_code == 0
    value: dict[str, Any] = json.loads(printed.stdout)
    return value


def allows(contract: str, value: object) -> bool:
    """Whether the schema allows this value."""
    return bool(Draft202012Validator(schema(contract)).is_valid(value))


def reads(value: object) -> bool:
    """Whether the model accepts this value as a job."""
    try:
        Job.from_message(json.dumps(value).encode())
    except InvalidJob:
        return False
    return True


@pytest.mark.parametrize("contract", ["job", "event", "dead-letter"])
def test_each_schema_is_valid_and_says_which_dialect_it_is(contract: str) -> None:
    assert schema(contract)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema(contract))


def test_the_contracts_are_named() -> None:
    assert (schema("job")["title"], schema("dead-letter")["title"]) == ("corti.job.v1", "corti.dead.v1")


def test_the_reasons_in_the_schema_are_the_closed_list() -> None:
    for contract in "event", "dead-letter":
        assert schema(contract)["$defs"]["Reason"]["enum"] == [reason.value for reason in Reason]


@pytest.mark.parametrize(
    "value",
    [
        SMALLEST,
        FULL,
        {**SMALLEST, "audio": {"data": "UklGRg=="}},
        {**SMALLEST, "pace": "max"},
        {**SMALLEST, "pace": 2, "tenant": None, "metadata": {"a": [1, None, {"b": "c"}]}},
        {**SMALLEST, "encounter": {"period": {"started_at": "2026-03-01T09:00:00Z"}}},
    ],
)
def test_schema_and_model_both_take_a_good_job(value: dict[str, Any]) -> None:
    assert reads(value)
    assert allows("job", value)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {**SMALLEST, "colour": "red"},
        {**SMALLEST, "job_id": "a b"},
        {**SMALLEST, "audio": {"uri": 7}},
        {**SMALLEST, "audio": {"uri": "file:///a", "sha256": "x"}},
        {**SMALLEST, "audio": {"uri": "file:///a", "media_type": "text/plain"}},
        {**SMALLEST, "encounter": {"status": "open"}},
        {**SMALLEST, "encounter": {"identifier": "e" * 1025}},
        {**SMALLEST, "patient": {"name": "Ada"}},
        {**SMALLEST, "patient": {"identifier": "4", "birth_date": "yesterday"}},
        {**SMALLEST, "transcription": {"language": "en", "participants": []}},
        {**SMALLEST, "transcription": {"language": "en", "participants": [{"channel": 8, "role": "doctor"}]}},
        {**SMALLEST, "transcription": {"language": "en", "keyterms": ["t" * 51]}},
        {**SMALLEST, "transcription": {"language": "en", "diarize": "yes"}},
        {**SMALLEST, "output": {"mode": "documents"}},
        {**SMALLEST, "pace": 0},
        {**SMALLEST, "pace": "1"},
        {**SMALLEST, "events": ["facts"] * 4},
        {**SMALLEST, "reply_to": ""},
        {**SMALLEST, "not_after": 1772366400},
        {**SMALLEST, "traceparent": "00"},
        {**SMALLEST, "metadata": "a"},
    ],
)
def test_schema_and_model_both_refuse_a_bad_job(value: Any) -> None:
    assert not reads(value)
    assert not allows("job", value)


@pytest.mark.parametrize(
    "data",
    [
        Started(attempt=1, metadata={"ward": 7}),
        Segments(segments=(segment("knee", 0.5, 1.25, speaker=1, final=False),)),
        Facts(facts=(fact("f1"),)),
        Completed(
            interaction_id="i-1",
            segments=(segment("knee", 0.5, 1.25, role="doctor"), segment("ouch", 2, 3)),
            text="doctor: knee\nchannel 0: ouch",
            facts=(fact("f1"),),
            audio=ResultAudio.of(AudioFigures(seconds=4.0, bytes=7), 1.75, "PCM", "audio/pcm"),
            credits=None,
            warnings=(),
            attempts=1,
            metadata={},
        ),
        Failed(reason=Reason.EXPIRED, detail="", cause=None, attempts=1, interaction_id=None, metadata={}),
    ],
)
def test_published_events_match_the_schema_of_events(data: events.Data) -> None:
    for traceparent in None, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":
        event = Event(
            id="a", type=events.STARTED, subject="a", time=EPOCH, traceparent=traceparent, data=data
        )
        assert allows("event", json.loads(event.to_json()))


@pytest.mark.parametrize("body", [b'{"job_id": 1}', b"\xff"])
def test_published_dead_letters_match_the_schema_of_dead_letters(body: bytes) -> None:
    letter = DeadLetter.of(
        body,
        reason=Reason.INVALID_JOB,
        detail="see errors",
        queue="corti.jobs",
        received_at=EPOCH,
        dead_at=EPOCH,
        problems=(Problem("job_id", "expected a string"),),
    )
    value = json.loads(letter.to_json())
    assert allows("dead-letter", value)
    assert not allows("dead-letter", {**value, "patient": "Ada"})
