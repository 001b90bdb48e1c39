"""Containers, declared or detected, decoded while they arrive."""

import io
import time
import wave

import pytest
from websockets.exceptions import ConnectionClosed

from ops.sandbox.launch import Sandbox
from tests.sandbox.client import Client, configuration
from tests.sandbox.sound import RATE, chunks, encode, interleave, noise, silence, tone

FORMATS = [
    ("wav", "pcm_s16le", None),
    ("ogg", "libopus", "audio/ogg; codecs=opus"),
    ("ogg", "libopus", None),
    ("webm", "libopus", "audio/webm"),
    ("mp3", "libmp3lame", "audio/mpeg"),
    ("flac", "flac", "audio/flac"),
    ("mp4", "aac", "audio/mp4"),
]


@pytest.mark.parametrize(("container", "codec", "declared"), FORMATS)
def test_speech_is_found_where_it_is(
    client: Client, sandbox: Sandbox, container: str, codec: str, declared: str | None
) -> None:
    data = encode(silence(1) + noise(1.5) + silence(1.5) + tone(1) + silence(0.5), container, codec)
    wanted = configuration(audioFormat=declared)
    if declared is None:
        del wanted["audioFormat"]
    with client.open(wanted) as conversation:
        conversation.send(chunks(data, 2000))
        assert conversation.finish() == 1000
    assert [kind for kind in conversation.types if kind != "transcript"][1:] == ["usage", "ENDED"]
    bounds = [one["time"][edge] for one in conversation.segments for edge in ("start", "end")]
    assert bounds == pytest.approx([1.0, 2.5, 4.0, 5.0], abs=0.3)
    assert sandbox.stats()["audio_seconds"] == pytest.approx(5.5, abs=0.2)


@pytest.mark.parametrize(("container", "codec", "declared"), FORMATS[:4])
def test_a_segment_does_not_wait_for_the_end(
    client: Client, container: str, codec: str, declared: str | None
) -> None:
    data = encode(noise(1) + silence(1) + noise(6), container, codec)
    wanted = configuration(audioFormat=declared)
    if declared is None:
        del wanted["audioFormat"]
    with client.open(wanted) as conversation:
        conversation.send(chunks(data[: len(data) * 3 // 4], 2000))
        assert conversation.next()["type"] == "transcript"


def test_a_stereo_recording_keeps_its_channels(client: Client) -> None:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(interleave(tone(1) + silence(1), silence(1) + tone(1)).tobytes())
    wanted = configuration()
    del wanted["audioFormat"]
    wanted["transcription"]["isMultichannel"] = True
    with client.open(wanted) as conversation:
        conversation.send(chunks(out.getvalue()))
        conversation.finish()
    assert [one["participant"]["channel"] for one in conversation.segments] == [0, 1]


def test_flush_works_through_a_container(client: Client) -> None:
    data = encode(tone(3), "wav", "pcm_s16le")
    wanted = configuration()
    del wanted["audioFormat"]
    with client.open(wanted) as conversation:
        conversation.send(chunks(data[: len(data) // 2]))
        conversation.say("flush")
        conversation.until("flushed")
        assert conversation.types == ["CONFIG_ACCEPTED", "transcript", "flushed"]
        conversation.send(chunks(data[len(data) // 2 :]))
        assert conversation.finish() == 1000


def test_a_client_that_sends_after_the_close_gets_an_error_and_can_still_read_earlier_messages(
    client: Client,
) -> None:
    with client.open(configuration(audioFormat="audio/ogg")) as conversation:
        conversation.send([encode(tone(1), "wav", "pcm_s16le")])
        deadline = time.monotonic() + 10
        while conversation.socket.close_code is None and time.monotonic() < deadline:
            conversation.socket.answers_ping(0.05)
        with pytest.raises(ConnectionClosed):
            conversation.say("end")
        assert conversation.drain() == 1000
    assert conversation.types[-1] == "ENDED"


@pytest.mark.parametrize(
    ("declared", "data"),
    [
        (None, tone(1).tobytes()),
        (None, b""),
        ("audio/ogg", encode(tone(1), "wav", "pcm_s16le")),
        ("audio/ogg", b"OggS" + b"\x07" * 4000),
        ("audio/webm", b"\x1a\x45\xdf\xa3" + bytes(4000)),
    ],
)
def test_data_that_is_not_the_declared_audio_is_an_error(
    client: Client, declared: str | None, data: bytes
) -> None:
    wanted = configuration(audioFormat=declared)
    if declared is None:
        del wanted["audioFormat"]
    with client.open(wanted) as conversation:
        conversation.send([data])
        assert conversation.finish() == 1000
    assert conversation.types[1:] == ["error", "usage", "ENDED"]
    assert conversation.messages[1]["error"]["id"] == "audio-invalid"


def test_a_container_without_any_audio_frame_ends_in_order(client: Client) -> None:
    with client.open(configuration(audioFormat="audio/ogg")) as conversation:
        assert conversation.finish() == 1000
    assert conversation.types[1:] == ["usage", "ENDED"]
