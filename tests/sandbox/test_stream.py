"""The stream over real sockets: handshake, audio, transcripts, facts, the end."""

import hashlib
import json
import time

import pytest

from ops.sandbox.launch import Sandbox, start
from tests.sandbox.client import Client, configuration, facts_mode
from tests.sandbox.sound import chunks, interleave, noise, silence, tone


def spoken(*, pause: float = 1.0) -> bytes:
    """Audio with two stretches of speech: from 1.0 to 2.0 s and, after a pause, 1.5 s."""
    return (silence(1) + tone(1) + silence(pause) + noise(1.5) + silence(0.2)).tobytes()


def test_a_whole_consultation(any_client: Client, sandbox: Sandbox) -> None:
    created = any_client.create("visit-" + any_client.endpoint.api_url)
    audio = spoken()
    with any_client.connect(created) as conversation:
        wanted = configuration(mode=facts_mode())
        accepted = conversation.configure(wanted)
        assert accepted["type"] == "CONFIG_ACCEPTED"
        assert accepted["configuration"]["transcription"]["diarize"] is False
        assert accepted["configuration"]["transcription"]["isDiarization"] is False
        conversation.send(chunks(audio))
        assert conversation.finish() == 1000
    assert conversation.types[1:] == ["transcript", "transcript", "facts", "usage", "ENDED"]
    first, second = conversation.segments
    assert {first["id"], second["id"]} == {created["interactionId"]}
    assert (first["final"], first["speakerId"], first["participant"]) == (True, -1, {"channel": 0})
    assert (first["time"]["start"], first["time"]["end"]) == pytest.approx((1.0, 2.0), abs=0.1)
    assert (second["time"]["start"], second["time"]["end"]) == pytest.approx((3.0, 4.5), abs=0.1)
    assert first["transcript"] == "[speech 1.0 s]"
    assert [fact["group"] for fact in conversation.facts] == ["other", "other"]
    assert "[speech 1.0 s]" in conversation.facts[0]["text"]
    assert conversation.messages[-2]["credits"] == pytest.approx(4.7 / 60, abs=1e-3)
    stored = any_client.rest("GET", f"/interactions/{created['interactionId']}/facts/").json["facts"]
    assert stored == conversation.facts

    (record,) = sandbox.stats()["streams"]
    assert record["interaction_id"] == created["interactionId"]
    assert record["encounter_identifier"] == "visit-" + any_client.endpoint.api_url
    assert record["configuration"] == wanted
    assert record["sha256"] == hashlib.sha256(audio).hexdigest()
    assert (record["audio_bytes"], record["chunks"]) == (len(audio), len(chunks(audio)))
    assert (record["max_chunk_bytes"], record["close_code"], record["ended"]) == (8000, 1000, True)
    assert record["audio_seconds"] == pytest.approx(4.7)
    assert record["secure"] is any_client.secure
    # Everything was sent at once, so all but the first chunk were ahead of a live source.
    assert record["max_ahead_seconds"] == pytest.approx(4.45, abs=0.5)
    order = ["opened_at", "configured_at", "first_audio_at", "last_audio_at", "end_received_at", "ended_at"]
    times = [record[name] for name in order]
    assert times == sorted(times)


def test_a_segment_comes_while_the_stream_goes_on(client: Client) -> None:
    with client.open() as conversation:
        conversation.send(chunks((tone(1) + silence(0.75)).tobytes()))
        assert conversation.next()["data"][0]["transcript"] == "[speech 1.0 s]"


def test_unbroken_speech_is_cut(client: Client) -> None:
    with client.open() as conversation:
        conversation.send(chunks(tone(20).tobytes(), 64_000))
        conversation.finish()
    bounds = [one["time"][edge] for one in conversation.segments for edge in ("start", "end")]
    assert bounds == pytest.approx([0, 13, 13, 20], abs=0.1)


def test_silence_gives_no_transcript(client: Client) -> None:
    with client.open(configuration(mode=facts_mode())) as conversation:
        conversation.send(chunks(silence(3).tobytes()))
        conversation.finish()
    assert conversation.types == ["CONFIG_ACCEPTED", "usage", "ENDED"]


def test_channels_are_transcribed_apart(client: Client) -> None:
    left, right = tone(1) + silence(2), silence(2) + tone(1)
    transcription = {
        "primaryLanguage": "en",
        "isMultichannel": True,
        "diarize": True,
        "participants": [{"channel": 0, "role": "doctor"}, {"channel": 1, "role": "patient"}],
    }
    wanted = configuration(
        transcription=transcription, audioFormat="audio/pcm; rate=16000; channels=2; bits=16; endian=little"
    )
    with client.open(wanted) as conversation:
        conversation.send(chunks(interleave(left, right).tobytes(), 16_000))
        conversation.finish()
    found = [(one["participant"]["channel"], round(one["time"]["start"])) for one in conversation.segments]
    assert found == [(0, 0), (1, 2)]
    assert {one["speakerId"] for one in conversation.segments} == {0}


def test_flush_ends_the_open_segment_and_keeps_the_stream(client: Client) -> None:
    with client.open() as conversation:
        conversation.send(chunks(tone(1).tobytes()))
        conversation.say("flush")
        conversation.until("flushed")
        assert conversation.types == ["CONFIG_ACCEPTED", "transcript", "flushed"]
        conversation.send(chunks(tone(1).tobytes()))
        assert conversation.finish() == 1000
    assert [round(one["time"]["start"]) for one in conversation.segments] == [0, 1]


def test_an_oversized_chunk_ends_the_stream_in_order(client: Client) -> None:
    with client.open() as conversation:
        conversation.send([b"\0" * 64_000, b"\0" * 64_001])
        assert conversation.drain() == 1000
    assert conversation.types[1:] == ["error", "usage", "ENDED"]
    assert conversation.messages[1]["error"]["id"] == "audio-chunk-too-large"


def test_mistakes_after_the_configuration_are_reported_and_survived(client: Client) -> None:
    with client.open() as conversation:
        conversation.say("dance")
        assert conversation.next()["error"]["id"] == "unknown-message"
        conversation.socket.send("{")
        assert conversation.next()["error"]["id"] == "unknown-message"
        assert conversation.finish() == 1000


def test_audio_after_end_is_an_error() -> None:
    # With latency the stream is still open when the late audio arrives.
    with start(latency=0.5, tls_port=None, recognise=True) as sandbox:
        client = Client(sandbox)
        with client.open() as conversation:
            conversation.send([tone(1).tobytes()])
            conversation.say("end")
            conversation.send([b"\0" * 100])
            conversation.drain()
        assert "error" in conversation.types
        assert conversation.types[-2:] == ["usage", "ENDED"]
        errors = [one["error"]["id"] for one in conversation.messages if one["type"] == "error"]
        assert errors == ["unexpected-audio"]


def test_facts_of_the_rest_side_are_pushed(client: Client) -> None:
    created = client.create()
    with client.connect(created) as conversation:
        conversation.configure(configuration(mode=facts_mode()))
        path = f"/interactions/{created['interactionId']}/facts/"
        (fact,) = client.rest("POST", path, {"facts": [{"text": "Smokes", "group": "other"}]}).json["facts"]
        assert conversation.next() == {"type": "facts", "fact": [fact]}


def test_nothing_is_stored_without_retention(client: Client) -> None:
    created = client.create()
    with client.connect(created) as conversation:
        conversation.configure(configuration(mode=facts_mode(), retentionPolicy="none"))
        conversation.send(chunks(spoken()))
        conversation.finish()
    assert len(conversation.facts) == 2
    assert client.rest("GET", f"/interactions/{created['interactionId']}/facts/").json == {"facts": []}


def test_long_silence_is_announced_when_asked_for(scaled_sandbox: Sandbox) -> None:
    audio = (silence(3) + tone(1) + silence(0.8)).tobytes()
    client = Client(scaled_sandbox)
    with client.open(configuration(audioEvents={"enabled": True})) as conversation:
        conversation.send(chunks(audio))
        conversation.finish()
    events = [one["data"] for one in conversation.messages if one["type"] == "audioEvent"]
    assert [one["event"] for one in events] == ["longSilenceDetected", "longSilenceRecovered"]
    assert [one["startTimeMs"] for one in events] == pytest.approx([0, 3000], abs=100)
    with client.open() as quiet:
        quiet.send(chunks(audio))
        quiet.finish()
    assert "audioEvent" not in quiet.types


def test_facts_and_usage_come_by_stream_time(scaled_sandbox: Sandbox) -> None:
    speech = (tone(1) + silence(1)).tobytes()
    with Client(scaled_sandbox).open(configuration(mode=facts_mode())) as conversation:
        conversation.send(chunks(speech * 5))
        conversation.finish()
    sizes = [len(one["fact"]) for one in conversation.messages if one["type"] == "facts"]
    assert sizes == [2, 2, 1]
    assert conversation.types.count("delta_usage") == 1


def test_latency_delays_transcripts() -> None:
    with start(latency=0.4, tls_port=None) as sandbox, Client(sandbox).open() as conversation:
        sent = time.monotonic()
        conversation.send(chunks((tone(1) + silence(1)).tobytes()))
        conversation.until("transcript")
        assert time.monotonic() - sent >= 0.4
        assert conversation.finish() == 1000


def test_a_summary_has_no_records(client: Client, sandbox: Sandbox) -> None:
    with client.open() as conversation:
        conversation.send([b"\0" * 3200])
        conversation.finish()
    summary = sandbox.stats(summary=True)
    assert "streams" not in summary
    assert (summary["streams_ended"], summary["audio_bytes"], summary["audio_seconds"]) == (1, 3200, 0.1)
    sandbox.reset()
    assert sandbox.stats()["streams"] == []
    assert json.dumps(summary)
