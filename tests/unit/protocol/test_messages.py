"""Reading the service's messages: every form that the vendor's sources show, and unknown messages."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.examples import heard
from worker.contract.events import Facts
from worker.protocol import messages
from worker.protocol.messages import (
    ConfigStatus,
    Ended,
    FactsMessage,
    StreamError,
    TranscriptMessage,
    Unknown,
    Usage,
)

SEGMENT = {
    "id": "b1c7ae3c-0000-4000-8000-000000000000",
    "transcript": "it hurts",
    "final": True,
    "speakerId": -1,
    "participant": {"channel": 0},
    "time": {"start": 1.71, "end": 11.296},
}
FACT = {
    "id": "f1",
    "text": "pain in the knee",
    "group": "history-of-present-illness",
    "groupId": "g1",
    "isDiscarded": False,
    "source": "user",
    "createdAt": "2026-03-01T09:00:00Z",
    "updatedAt": "2026-03-01T09:01:00Z",
}


def parse(message: dict[str, Any]) -> messages.Message:
    """Read a message of the service."""
    return messages.parse(json.dumps(message))


def parse_segment(**changes: Any) -> messages.Message:
    """Read a transcript with one changed segment."""
    return parse({"type": "transcript", "data": [{**SEGMENT, **changes}]})


def parse_fact(**changes: Any) -> messages.Message:
    """Read a facts message with one changed fact."""
    return parse({"type": "facts", "fact": [{**FACT, **changes}]})


def test_a_transcript_is_read_whole_and_in_order() -> None:
    second = {**SEGMENT, "transcript": "where?", "time": {"start": 12, "end": 13}, "final": False}
    assert parse({"type": "transcript", "data": [SEGMENT, second]}) == TranscriptMessage(
        (heard("it hurts", 1.71, 11.296), heard("where?", 12, 13, final=False))
    )


@pytest.mark.parametrize(("told", "speaker"), [(-1, None), (None, None), (0, 0), (3, 3)])
def test_a_negative_speaker_is_no_speaker(told: int | None, speaker: int | None) -> None:
    assert parse_segment(speakerId=told) == TranscriptMessage(
        (heard("it hurts", 1.71, 11.296, speaker=speaker),)
    )


def test_a_segment_needs_its_words_and_its_time_and_nothing_else() -> None:
    bare = {"transcript": "it hurts", "time": {"start": 1.71, "end": 11.296}}
    assert parse({"type": "transcript", "data": [bare]}) == TranscriptMessage(
        (heard("it hurts", 1.71, 11.296),)
    )
    for participant in {}, None, {"channel": None}, {"role": "doctor"}:
        assert parse_segment(participant=participant) == TranscriptMessage((heard("it hurts", 1.71, 11.296),))
    assert parse_segment(participant={"channel": 1, "role": "doctor"}) == TranscriptMessage(
        (heard("it hurts", 1.71, 11.296, channel=1),)
    )


def test_facts_are_read_from_either_key() -> None:
    expected = parse({"type": "facts", "fact": [FACT]})
    assert isinstance(expected, FactsMessage)
    (fact,) = expected.facts
    assert (fact.id, fact.text, fact.group) == ("f1", "pain in the knee", "history-of-present-illness")
    assert (fact.source, fact.discarded) == ("user", False)
    assert (fact.created_at, fact.updated_at) == ("2026-03-01T09:00:00Z", "2026-03-01T09:01:00Z")
    assert parse({"type": "facts", "data": [FACT]}) == expected
    assert parse({"type": "facts", "fact": [FACT], "data": []}) == expected
    assert parse({"type": "facts", "fact": []}) == FactsMessage(())


def test_a_fact_needs_an_id_and_a_text_and_nothing_else() -> None:
    message = parse({"type": "facts", "fact": [{"id": "f1", "text": "pain"}]})
    assert isinstance(message, FactsMessage)
    (fact,) = message.facts
    assert (fact.group, fact.source, fact.discarded) == ("other", "core", False)
    assert (fact.created_at, fact.updated_at) == (None, None)


def test_half_a_character_cannot_break_the_event_that_repeats_it() -> None:
    # JSON can contain half of a surrogate pair as an escape, but UTF-8 cannot encode it.
    assert parse_segment(transcript="ouch \ud83e!") == TranscriptMessage((heard("ouch ?!", 1.71, 11.296),))
    message = parse_fact(id="\udd7a", text="\ud83e", createdAt="\ud83e")
    assert isinstance(message, FactsMessage)
    assert Facts(facts=message.facts).model_dump_json().encode()


def test_a_discarded_fact_says_so() -> None:
    message = parse_fact(isDiscarded=True)
    assert isinstance(message, FactsMessage)
    assert message.facts[0].discarded


@pytest.mark.parametrize("kind", ["ENDED", "ended", "Ended"])
def test_the_end_is_known_in_any_case(kind: str) -> None:
    assert parse({"type": kind}) == Ended()


def test_only_the_last_usage_message_is_final() -> None:
    assert parse({"type": "delta_usage", "credits": 1}) == Usage(1.0, final=False)
    assert parse({"type": "usage", "credits": 1.25}) == Usage(1.25, final=True)


@pytest.mark.parametrize(
    ("kind", "accepted", "timed_out"),
    [
        ("CONFIG_ACCEPTED", True, False),
        ("config_accepted", True, False),
        ("CONFIG_ALREADY_RECEIVED", True, False),
        ("CONFIG_DENIED", False, False),
        ("CONFIG_REJECTED", False, False),
        ("CONFIG_MISSING", False, True),
        ("CONFIG_NOT_PROVIDED", False, True),
        ("CONFIG_TIMEOUT", False, True),
        ("CONFIG-TIMEOUT", False, True),
        ("CONFIG_OF_NEXT_YEAR", False, False),
    ],
)
def test_every_spelling_of_a_configuration_status(kind: str, accepted: bool, timed_out: bool) -> None:
    message = parse({"type": kind, "reason": "language unavailable", "configuration": {}})
    assert isinstance(message, ConfigStatus)
    assert (message.accepted, message.timed_out) == (accepted, timed_out)
    assert "unavailable" not in repr(message)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            {"id": "audio-invalid", "status": 400, "title": "t", "details": "d"},
            StreamError("audio-invalid", 400),
        ),
        ({}, StreamError("unknown", None)),
        (None, StreamError("unknown", None)),
        ({"id": "Ada Example was here", "status": "400"}, StreamError("unknown", None)),
        ({"id": "a\n"}, StreamError("unknown", None)),
        ({"id": "a" * 65}, StreamError("unknown", None)),
        ({"id": 7, "status": 503}, StreamError("unknown", 503)),
    ],
)
def test_an_error_keeps_its_status_and_what_looks_like_a_code(error: Any, expected: StreamError) -> None:
    assert parse({"type": "error", "error": error}) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ENDED",
        b"\xff\xfe",
        b"\xff",
        "[" * 100_000,
        "null",
        "[]",
        '"ENDED"',
        "{}",
        '{"type": null}',
        '{"type": ["ENDED"]}',
        '{"type": "flushed"}',
        '{"type": "audioEvent", "data": {"event": "longSilenceDetected"}}',
        '{"type": "transcript"}',
        '{"type": "transcript", "data": [null]}',
        '{"type": "transcript", "data": [{"transcript": "a"}]}',
        '{"type": "transcript", "data": [{"transcript": "a", "time": {"start": null, "end": 1}}]}',
        '{"type": "transcript", "data": [{"transcript": "a", "time": {"start": NaN, "end": 1}}]}',
        '{"type": "transcript", "data": [{"transcript": "a", "time": {"start": 0, "end": 1e999}}]}',
        '{"type": "transcript", "data": [{"transcript":"","time":{"start":0,"end":1},"speakerId":1e999}]}',
        '{"type": "facts", "fact": null}',
        '{"type": "facts", "facts": []}',
        '{"type": "facts", "fact": [{"id": "f1"}]}',
        '{"type": "usage"}',
        '{"type": "usage", "credits": null}',
        '{"type": "usage", "credits": NaN}',
        '{"type": "usage", "credits": -Infinity}',
        '{"type": "usage", "credits": 1' + "0" * 400 + "}",
        '{"type": "error", "error": "text"}',
    ],
    ids=range(29),
)
def test_an_unreadable_message_is_unknown_and_raises_nothing(text: str | bytes) -> None:
    assert messages.parse(text) == Unknown()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(sorted(SEGMENT)), inner, max_size=2)
    ),
    max_leaves=4,
)
types = st.sampled_from(
    ["transcript", "facts", "usage", "delta_usage", "error", "ENDED", "CONFIG_ACCEPTED", "x"]
)


@given(
    types, st.sampled_from(["data", "fact", "credits", "error"]), anything, st.sampled_from([*SEGMENT, *FACT])
)
@example("transcript", "data", [{"transcript": "", "time": {"start": 0, "end": 10**400}}], "id")
def test_no_shape_of_a_message_makes_the_reader_raise(kind: str, key: str, value: Any, part: str) -> None:
    assert parse({"type": kind, key: value}) is not None
    assert parse({"type": kind, key: [{**SEGMENT, **FACT, part: value}]}) is not None
    assert parse({"type": value}) is not None


def test_words_of_transcripts_are_not_cached() -> None:
    text = '{"transcript": "it hurts"}'
    first, second = messages._json(text), messages._json(text)
    assert first == second
    assert first["transcript"] is not second["transcript"], (
        "the same object twice means that the text was cached"
    )
