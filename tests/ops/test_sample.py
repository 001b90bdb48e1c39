"""The committed sample: its times match its audio, and both audio files hold the same consultation."""

from __future__ import annotations

import json
import wave
from array import array
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from ops.sample.make_sample import trimmed

SAMPLE = Path(__file__).parents[2] / "ops/sample"
FACT_GROUPS = {
    *("chief-complaint", "history-of-present-illness", "past-medical-history", "family-history"),
    *("social-history", "functional-status", "medications-prior-to-visit", "allergies", "demographics"),
    *("vital-signs", "laboratory-results", "imaging-results", "normal-physical-findings"),
    *("abnormal-physical-findings", "denials-of-symptoms", "concerns-and-expectations", "assessment"),
    *("plan", "actions", "other"),
}


@pytest.fixture(scope="module")
def dialogue() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SAMPLE / "dialogue.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def samples() -> array[int]:
    with wave.open(str(SAMPLE / "consultation.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        return array("h", file.readframes(file.getnframes()))


def power(samples: array[int], start: float, end: float) -> float:
    """The mean square of the samples between two moments."""
    part = samples[round(start * 16_000) : round(end * 16_000)]
    return sum(value * value for value in part) / len(part)


def test_speech_lies_inside_the_lines_and_silence_between(
    dialogue: dict[str, Any], samples: array[int]
) -> None:
    lines = dialogue["lines"]
    for line in lines:
        assert power(samples, line["start"], line["end"]) > 300**2, line["text"]
    edges = [
        0.0,
        *(moment for line in lines for moment in (line["start"], line["end"])),
        len(samples) / 16_000,
    ]
    for silent_from, silent_to in zip(edges[::2], edges[1::2], strict=True):
        assert power(samples, silent_from + 0.005, silent_to - 0.005) < 5**2
    for before, after in pairwise(lines):
        assert after["start"] - before["end"] == pytest.approx(0.7, abs=0.01)


def test_both_files_are_small_and_equally_long(samples: array[int]) -> None:
    seconds = len(samples) / 16_000
    assert 25 <= seconds <= 30
    with av.open(str(SAMPLE / "consultation.ogg"), "r") as container:
        assert container.streams.audio[0].codec_context.name == "opus"
        decoded = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert decoded == pytest.approx(seconds, abs=0.05)
    assert (SAMPLE / "consultation.wav").stat().st_size < 1_000_000
    assert (SAMPLE / "consultation.ogg").stat().st_size < 120_000


def test_the_dialogue_is_what_lines_json_says(dialogue: dict[str, Any]) -> None:
    script = json.loads((SAMPLE / "lines.json").read_text())
    kept = [{key: line[key] for key in ("speaker", "text", "facts")} for line in dialogue["lines"]]
    assert (dialogue["language"], kept) == (script["language"], script["lines"])
    speakers = [line["speaker"] for line in dialogue["lines"]]
    assert all(first != second for first, second in pairwise(speakers))
    assert {line["channel"] for line in dialogue["lines"]} == {0}


def test_facts_use_groups_of_the_api(dialogue: dict[str, Any]) -> None:
    facts = [fact for line in dialogue["lines"] for fact in line["facts"]]
    assert len(facts) >= 5
    assert {fact["group"] for fact in facts} <= FACT_GROUPS


def test_trimming_keeps_the_audible_part() -> None:
    audible = array("h", [0, 3, 900, 0, -900, 5, 0])
    assert array("h", trimmed(audible.tobytes())) == array("h", [900, 0, -900])
