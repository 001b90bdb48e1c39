"""Events: deterministic ids, and JSON that the CloudEvents SDK reads."""

import json
import sys
from typing import get_args

import pytest
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.fakes import EPOCH
from tests.unit.examples import fact, heard, segment
from worker.contract import events
from worker.contract.errors import Reason
from worker.contract.events import (
    AudioFigures,
    Completed,
    Data,
    Event,
    EventType,
    Facts,
    Failed,
    Progress,
    ResultAudio,
    Segments,
    Started,
    event_id,
)

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVERY: dict[EventType, Data] = {
    events.STARTED: Started(attempt=1, metadata={"ward": [7, None]}),
    events.PROGRESS: Progress(audio_seconds=12.5, total_seconds=None),
    events.SEGMENTS: Segments(
        segments=(segment("it hurts", 0.5, 1.75, speaker=0, final=False, role="doctor"),)
    ),
    events.FACTS: Facts(facts=(fact("f1", discarded=True),)),
    events.COMPLETED: Completed(
        interaction_id="i-1",
        segments=(segment("it hurts", 0.5, 1.75),),
        text="channel 0: it hurts",
        facts=(fact("f1"),),
        audio=ResultAudio(
            source_format="PCM",
            sent_format="audio/pcm",
            seconds=2.0,
            bytes=64000,
            speech_seconds=1.25,
            silence_seconds=0.75,
        ),
        credits=0.04,
        warnings=("stream error unknown",),
        attempts=2,
        metadata={},
    ),
    events.FAILED: Failed(
        reason=Reason.ATTEMPTS_EXHAUSTED,
        detail="5 attempts failed",
        cause=Reason.UPSTREAM_UNAVAILABLE,
        attempts=5,
        interaction_id=None,
        metadata={},
    ),
}


def event(event_type: EventType, *, traceparent: str | None = None) -> Event:
    """An event of each type."""
    return Event(
        id=event_id("visit-17", event_type),
        type=event_type,
        subject="visit-17",
        time=EPOCH,
        traceparent=traceparent,
        data=EVERY[event_type],
    )


def test_every_type_has_an_example_here_and_a_name_for_its_id() -> None:
    assert set(get_args(EventType)) == set(EVERY)
    assert {event_id("visit-17", event_type) for event_type in EVERY} == {
        "visit-17/started",
        "visit-17/progress",
        "visit-17/transcript",
        "visit-17/facts",
        "visit-17/result",
    }


def test_both_final_types_have_one_id_so_that_a_job_cannot_have_two_results() -> None:
    assert {events.COMPLETED, events.FAILED} == events.FINAL
    assert event_id("visit-17", events.COMPLETED) == event_id("visit-17", events.FAILED) == "visit-17/result"


def test_the_content_type_is_that_of_a_structured_cloud_event() -> None:
    assert events.CONTENT_TYPE == JSONFormat.CONTENT_TYPE


def test_numbered_events_have_their_number_in_the_id_and_live_ones_their_run() -> None:
    assert event_id("visit-17", events.FACTS, 3) == "visit-17/facts/3"
    assert event_id("visit-17", events.FACTS, 3, "12.1") == "visit-17/facts/12.1/3"
    assert event_id("visit-17", events.STARTED, run="12.1") == "visit-17/started/12.1"


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(sorted(EVERY)), st.integers(0, 3)), unique=True)
)
def test_ids_differ_when_job_kind_or_number_differ(keys: list[tuple[str, EventType, int]]) -> None:
    ids = {event_id(*key) for key in keys}
    kinds = {(job, "result" if kind in events.FINAL else kind, number) for job, kind, number in keys}
    assert len(ids) == len(kinds)


@pytest.mark.parametrize("event_type", EVERY)
def test_the_cloudevents_sdk_reads_every_event(event_type: EventType) -> None:
    ours = event(event_type, traceparent=TRACEPARENT)
    theirs = JSONFormat().read(None, ours.to_json())
    assert theirs.get_specversion() == "1.0"
    assert (theirs.get_id(), theirs.get_type()) == (ours.id, event_type)
    assert (theirs.get_source(), theirs.get_subject()) == ("corti-worker", "visit-17")
    assert theirs.get_datacontenttype() == "application/json"
    assert theirs.get_time() == EPOCH
    assert theirs.get_extension("traceparent") == TRACEPARENT
    assert theirs.get_data() == ours.data.model_dump(mode="json")


@pytest.mark.parametrize("event_type", EVERY)
def test_an_event_comes_back_from_its_json_as_it_was(event_type: EventType) -> None:
    assert Event.model_validate_json(event(event_type).to_json()) == event(event_type)


def test_an_absent_traceparent_is_left_out_and_nothing_else_is() -> None:
    keys = json.loads(event(events.STARTED).to_json()).keys()
    assert json.loads(event(events.STARTED, traceparent=TRACEPARENT).to_json()).keys() - keys == {
        "traceparent"
    }
    # Within the data, every key of the contract is present.
    assert json.loads(event(events.PROGRESS).to_json())["data"]["total_seconds"] is None


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_no_event_holds_a_number_that_json_does_not_know(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        segment("it hurts", number, 1.0)
    with pytest.raises(ValidationError):
        Progress(audio_seconds=number, total_seconds=None)


def test_a_segment_of_an_event_has_a_role_and_a_kept_one_is_no_larger_for_it() -> None:
    data = json.loads(event(events.SEGMENTS).to_json())["data"]
    assert data["segments"][0]["role"] == "doctor"
    assert json.loads(event(events.COMPLETED).to_json())["data"]["segments"][0]["role"] is None
    kept, published = heard("it hurts", 0.5, 1.75), segment("it hurts", 0.5, 1.75)
    assert sys.getsizeof(kept) < sys.getsizeof(published)
    with pytest.raises(ValidationError):
        Segments.model_validate({"segments": (kept,)})


@given(st.floats(0, 1e5), st.floats(0, 1))
def test_speech_and_silence_add_up_to_the_audio_and_are_never_negative(seconds: float, part: float) -> None:
    audio = ResultAudio.of(AudioFigures(seconds=seconds, bytes=7), seconds * part, "PCM", "audio/pcm")
    assert (audio.seconds, audio.bytes) == (seconds, 7)
    assert audio.speech_seconds + audio.silence_seconds == pytest.approx(seconds, abs=0.001)
    assert audio.speech_seconds == pytest.approx(seconds * part, abs=0.001)
    assert min(audio.speech_seconds, audio.silence_seconds) >= 0


def test_the_seconds_of_speech_are_told_in_thousandths() -> None:
    audio = ResultAudio.of(AudioFigures(seconds=3.0, bytes=0), 1.23456, "PCM", "audio/pcm")
    assert (audio.speech_seconds, audio.silence_seconds) == (1.235, 1.765)
    assert (
        ResultAudio.of(AudioFigures(seconds=0.3, bytes=0), 0.1, "PCM", "audio/pcm").silence_seconds == 0.2
    ), "not a digit more"
    # Rounded up, the speech is longer than the audio, and JSON has a -0.0.
    whole = ResultAudio.of(AudioFigures(seconds=1.2345678, bytes=0), 1.2345678, "PCM", "audio/pcm")
    assert (whole.speech_seconds, str(whole.silence_seconds)) == (1.235, "0.0")


def test_text_of_any_script_is_not_escaped() -> None:
    data = Segments(segments=(segment("Blåbær 漢字 🩺", 0, 1),))
    wire = event(events.SEGMENTS).model_copy(update={"data": data}).to_json()
    assert "Blåbær 漢字 🩺".encode() in wire
