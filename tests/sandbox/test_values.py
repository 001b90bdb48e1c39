"""Small parts without I/O: configurations, scripts, figures of pacing."""

from pathlib import Path
from typing import Any

import pytest

from ops.sandbox.audio.format import PcmFormat
from ops.sandbox.stats import StreamRecord
from ops.sandbox.stream.configuration import ConfigurationError, parse_configuration
from ops.sandbox.stream.script import Script, ScriptError
from tests.sandbox.client import configuration, facts_mode


def with_transcription(**changes: Any) -> dict[str, Any]:
    base = configuration()
    return base | {"transcription": base["transcription"] | changes}


def test_the_resolved_configuration_shows_every_default() -> None:
    accepted = parse_configuration(configuration(mode={"type": "facts", "outputLocale": "en-US"}, extra=1))
    assert accepted.resolved["mode"]["factGenerationInterval"] == "fixed"
    assert accepted.resolved["audioEvents"] == {"enabled": False}
    assert accepted.resolved["extra"] == 1
    assert accepted.resolved["transcription"]["isMultichannel"] is False
    assert accepted.audio_format == PcmFormat(16_000, 1, 16)
    assert (accepted.facts_mode, accepted.fast_init, accepted.stores) == (True, False, True)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, False),
        ({"isDiarization": True}, True),
        ({"diarize": True}, True),
        ({"diarize": False, "isDiarization": True}, False),
    ],
)
def test_the_current_name_of_diarization_wins(flags: dict[str, bool], expected: bool) -> None:
    accepted = parse_configuration(with_transcription(**flags))
    assert accepted.diarize is expected
    echoed = accepted.resolved["transcription"]
    assert (echoed["diarize"], echoed["isDiarization"]) == (expected, expected)


@pytest.mark.parametrize("key", ["retentionPolicy", "X-Corti-Retention-Policy"])
def test_retention_goes_by_two_names(key: str) -> None:
    assert parse_configuration(configuration(**{key: "none"})).stores is False
    assert parse_configuration(configuration(**{key: "retain"})).stores is True


def test_a_misplaced_interval_is_ignored() -> None:
    raw = configuration(mode=facts_mode(), factGenerationInterval="fast_init")
    assert parse_configuration(raw).fast_init is False
    assert parse_configuration(configuration(mode=facts_mode("fast_init"))).fast_init is True


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"mode": {"type": "facts", "outputLocale": "en"}},
        configuration(mode={"type": "documentation", "outputLocale": "en"}),
        configuration(mode={"type": "facts", "outputLocale": "klingon"}),
        configuration(audioFormat=5),
        configuration(audioEvents={"enabled": "yes"}),
        configuration(retentionPolicy="forever"),
        configuration(replacements=[{"find": "a"}]),
        configuration(replacements=[{"find": "a", "replace": "b"}] * 1001),
        configuration(keyterms={"terms": [{"term": "x" * 51}]}),
        configuration(keyterms={"terms": "x"}),
        with_transcription(primaryLanguage=None),
        with_transcription(diarize="yes"),
        with_transcription(participants=None),
        with_transcription(participants=[{"channel": "0", "role": "doctor"}]),
        with_transcription(participants=[{"channel": 8, "role": "doctor"}]),
    ],
)
def test_a_bad_configuration_is_denied(raw: Any) -> None:
    with pytest.raises(ConfigurationError):
        parse_configuration(raw)


def test_no_participants_are_accepted() -> None:
    assert parse_configuration(with_transcription(participants=[])).language == "en"


@pytest.mark.parametrize(
    "raw",
    [
        [],
        {},
        {"lines": [{"start": 1, "end": 1, "text": "x"}]},
        {"lines": [{"start": -1, "end": 1, "text": "x"}]},
        {"lines": [{"start": "0", "end": 1, "text": "x"}]},
        {"lines": [{"start": 0, "end": 1}]},
        {"lines": [{"start": 0, "end": 1, "text": "x", "speaker": "nurse"}]},
        {"lines": [{"start": 0, "end": 1, "text": "x", "channel": 8}]},
        {"lines": [{"start": 0, "end": 1, "text": "x", "facts": [{"group": "gossip", "text": "y"}]}]},
        {"lines": [{"start": 0, "end": 1, "text": "x", "facts": [{"group": "other"}]}]},
        {"lines": [5]},
    ],
)
def test_a_bad_script_is_refused(raw: Any) -> None:
    with pytest.raises(ScriptError):
        Script.parse(raw)


def test_a_script_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text("{")
    with pytest.raises(ScriptError, match=r"script\.json"):
        Script.load(tmp_path / "script.json")


def record() -> StreamRecord:
    return StreamRecord("i", "e", "base", 1, secure=False, opened_at=0.0)


def test_a_live_source_is_neither_ahead_nor_behind() -> None:
    stream = record()
    for number in range(1, 9):
        stream.received(b"x" * 8000, number * 0.25)
        stream.heard(number * 0.25, number * 0.25)
    assert stream.max_ahead_seconds == pytest.approx(0)
    assert stream.max_behind_seconds == pytest.approx(0)


def test_pacing_shows_a_burst_and_a_gap() -> None:
    stream = record()
    for heard, at in ((0.25, 1.0), (2.25, 1.5), (2.5, 6.0)):
        stream.received(b"x", at)
        stream.heard(heard, at)
    assert stream.max_ahead_seconds == pytest.approx(2.0 - 0.5)
    assert stream.max_behind_seconds == pytest.approx(5.0 - 2.25)
