"""What an EHR reads in the result of a job: roles, text, speech and silence, warnings."""

import json
from typing import Any

from tests.unit.examples import body, fact, heard
from tests.unit.jobs.world import World
from worker.contract.events import COMPLETED, SEGMENTS
from worker.jobs.transcribe import NO_SPEECH
from worker.protocol.messages import FactsMessage, TranscriptMessage
from worker.protocol.pace import Chunk

STEREO = {
    "language": "en",
    "multichannel": True,
    "participants": [{"channel": 0, "role": "doctor"}, {"channel": 1, "role": "patient"}],
}
DIALOGUE = (
    TranscriptMessage((heard("Where does", 0.0, 1.0, final=False),)),
    TranscriptMessage((heard("Where does it hurt?", 0.0, 2.0), heard("Here.", 2.5, 3.0, channel=1))),
    TranscriptMessage((heard("And here.", 3.0, 4.0, channel=1), heard("Hm.", 9.5, 11.0, channel=2))),
)


def data(*says: TranscriptMessage | FactsMessage, **job: Any) -> dict[str, list[dict[str, Any]]]:
    """The data of a job's events by their type, as an EHR reads them; the audio lasts for ten seconds."""
    world = World(*says)
    world.library.chunks = [Chunk(b"a" * 8, 2.5)] * 4
    world.run(body(**job))
    read: dict[str, list[dict[str, Any]]] = {}
    for event, _ in world.publisher.events:
        read.setdefault(event.type, []).append(json.loads(event.to_json())["data"])
    return read


def result(*says: TranscriptMessage | FactsMessage, **job: Any) -> dict[str, Any]:
    """The data of the final event."""
    (one,) = data(*says, **job)[COMPLETED]
    return one


def test_the_segments_of_the_result_have_roles() -> None:
    done = result(*DIALOGUE, transcription=STEREO)
    assert [(one["text"], one["role"]) for one in done["segments"]] == [
        ("Where does it hurt?", "doctor"),
        ("Here.", "patient"),
        ("And here.", "patient"),
        ("Hm.", None),
    ]


def test_the_segments_of_live_events_have_the_roles_that_the_result_gives_them() -> None:
    read = data(*DIALOGUE, transcription=STEREO, events=["transcript"])
    live = [one for event in read[SEGMENTS] for one in event["segments"]]
    assert [one["role"] for one in live] == ["doctor", "doctor", "patient", "patient", None]
    assert [one for one in live if one["final"]] == read[COMPLETED][0]["segments"]


def test_the_result_has_the_transcript_as_text() -> None:
    done = result(*DIALOGUE, transcription=STEREO)
    assert done["text"] == "doctor: Where does it hurt?\npatient: Here. And here.\nchannel 2: Hm."


def test_the_text_is_in_order_of_time_whatever_the_order_of_arrival() -> None:
    done = result(*reversed(DIALOGUE), transcription=STEREO)
    assert done["text"] == result(*DIALOGUE, transcription=STEREO)["text"]


def test_the_result_says_how_much_of_the_audio_has_speech() -> None:
    audio = result(*DIALOGUE, transcription=STEREO)["audio"]
    assert audio == {
        "seconds": 10.0,
        "bytes": 32,
        "source_format": "opus in Ogg, 48000 Hz, 1 channel",
        "sent_format": "audio/ogg (as it is)",
        "speech_seconds": 4.0,
        "silence_seconds": 6.0,
    }


def test_audio_without_speech_completes_with_a_warning() -> None:
    done = result()
    assert (done["segments"], done["text"]) == ([], "")
    assert done["warnings"] == ["stream error late", NO_SPEECH]
    assert (done["audio"]["speech_seconds"], done["audio"]["silence_seconds"]) == (0.0, 10.0)


def test_facts_without_a_transcript_are_warned_of_as_well() -> None:
    assert NO_SPEECH in result(FactsMessage((fact("f1"),)))["warnings"]


def test_segments_without_words_are_no_speech_that_was_recognised() -> None:
    done = result(TranscriptMessage((heard(" ", 1, 2),)))
    assert (len(done["segments"]), done["text"], NO_SPEECH in done["warnings"]) == (1, "", True)


def test_one_word_is_enough_for_no_warning() -> None:
    done = result(TranscriptMessage((heard("hm", 1, 2, final=False),)))
    assert (done["text"], done["warnings"]) == ("multiple: hm", ["stream error late"])
