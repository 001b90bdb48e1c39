"""Every format of a hospital goes to the sandbox: nothing but the sound, whole, at the right times."""

import io
from array import array
from pathlib import Path
from typing import Any

import av
import pytest

from tests import recordings
from tests.contract.listening import audio_sources
from tests.contract.studio import Studio
from tests.recordings import ONSETS, RECIPES, SECONDS, Recipe, make, recipe
from tests.unit.audio.reading import Heard, hear, job_of, library_of, onsets, refused
from tests.unit.audio.sounds import tone, wav_file
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.events import HeardSegment
from worker.contract.job import Job
from worker.protocol import messages
from worker.protocol.messages import TranscriptMessage

#: As the documentation promises.
_TOLERANCE = 0.3


class Told:
    """What came back for a job's audio."""

    def __init__(self, room: Studio, job: Job, folder: Path) -> None:
        with audio_sources(folder) as sources:
            library = library_of(sources, max_seconds=60)
            interaction = room.interaction()
            with library.open(job, Interrupt()) as audio:
                configuration = messages.configuration(job, audio.format)
                with room.streams.open(interaction, room.token, configuration) as stream:
                    came = list(
                        stream.converse(
                            audio.chunks(), 1000.0, live=False, interrupt=Interrupt(), at_hand=audio.at_hand
                        )
                    )
                    self.figures = stream.figures()[0]
                self.warnings = audio.warnings()
                self.sent_format = audio.sent_format
                self.source_format = audio.source_format
        self.segments: list[HeardSegment] = [
            one for item in came if isinstance(item, TranscriptMessage) for one in item.segments
        ]

    def starts(self, channel: int = 0) -> list[float]:
        """When the segments of a channel begin."""
        return [one.start for one in self.segments if one.channel == channel]


def told(room: Studio, path: Path, **transcription: Any) -> Told:
    return Told(room, job_of(Audio(uri=path.as_uri()), **transcription), path.parent)


@pytest.mark.parametrize("one", RECIPES, ids=lambda one: one.name)
def test_a_recording_is_transcribed_at_the_right_times(room: Studio, shelf: Path, one: Recipe) -> None:
    heard = told(room, make(one, shelf))
    assert heard.sent_format.endswith(f"({one.how})")
    assert heard.starts() == [pytest.approx(onset, abs=_TOLERANCE) for onset in ONSETS]
    assert heard.figures.seconds == pytest.approx(SECONDS, abs=_TOLERANCE)
    assert heard.warnings == ()


@pytest.mark.parametrize("one", [one for one in RECIPES if one.film], ids=lambda one: one.name)
def test_pictures_do_not_leave_the_house(shelf: Path, one: Recipe) -> None:
    data = make(one, shelf).read_bytes()
    heard = hear(data, known_size=True)
    sent = b"".join(chunk.data for chunk in heard.chunks)
    with av.open(io.BytesIO(sent)) as container:
        assert [stream.type for stream in container.streams] == ["audio"]


def hear_file(data: bytes, **how: Any) -> Heard:
    """What becomes of data that can be read at any offset, and of the same data that comes in order."""
    in_order, at_will = hear(data, **how), hear(data, known_size=True, **how)
    assert in_order.seconds == pytest.approx(at_will.seconds, abs=0.1)
    return at_will


def at_the_right_times(heard: Heard, begin: float = 0.0) -> bool:
    return onsets(heard)[-3:] == [pytest.approx(begin + onset, abs=_TOLERANCE) for onset in ONSETS]


def test_amr_wideband_is_converted() -> None:
    heard = hear_file(recordings.amr_wb())
    assert heard.source_format == "amr_wb in AMR, 16000 Hz, 1 channel"
    assert at_the_right_times(heard)


def test_amr_narrowband_is_converted() -> None:
    heard = hear_file(recordings.amr_nb())
    assert heard.source_format == "amr_nb in AMR, 8000 Hz, 1 channel"
    assert at_the_right_times(heard)


def test_a_picture_in_front_of_an_mp3_stays_here(shelf: Path) -> None:
    mp3 = make(recipe("cbr.mp3"), shelf).read_bytes()
    heard = hear_file(recordings.pictured_mp3(mp3, 2_000_000), size=20_000)
    assert sum(len(chunk.data) for chunk in heard.chunks) < len(mp3) + 2000
    assert heard.format == "audio/mpeg"
    assert at_the_right_times(heard)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_header_that_does_not_know_the_length_is_no_hindrance(size: int) -> None:
    heard = hear_file(recordings.unsized_wav(recordings.sounds(), size))
    assert (heard.seconds, heard.warnings) == (SECONDS, ())
    assert at_the_right_times(heard)


@pytest.mark.parametrize("name", ["opus.ogg", "vorbis.ogg"])
@pytest.mark.parametrize("known", [True, False], ids=["at will", "in order"])
def test_joined_ogg_files_are_paced_to_their_end(shelf: Path, name: str, *, known: bool) -> None:
    ogg = make(recipe(name), shelf).read_bytes()
    heard = hear(ogg + _with_serial(ogg, b"abcd"), known_size=known)
    assert heard.seconds == pytest.approx(2 * SECONDS, abs=_TOLERANCE)
    assert max(chunk.seconds for chunk in heard.chunks) < 1.1
    assert at_the_right_times(heard, begin=SECONDS)


def test_a_webm_stream_without_a_length_is_passed_on(shelf: Path) -> None:
    base = make(RECIPES[0], shelf)
    webm = recordings.run(["-i", str(base), "-c:a", "libopus", "-f", "webm", "-live", "1", "-"])
    heard = hear_file(webm)
    assert (heard.format, heard.total_seconds) == ("audio/webm", None)
    assert b"".join(chunk.data for chunk in heard.chunks) == webm
    assert at_the_right_times(heard)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [({"channels": [1, 0]}, "ba"), ({"channels": [1]}, "b"), ({"channels": [0]}, "a"), ({"mix": True}, "m")],
)
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "wav"])
def test_channels_are_picked_swapped_and_mixed(choice: dict[str, Any], expected: str, *, raw: bool) -> None:
    left, right = array("h", [3000] * 16_000), array("h", [-1000] * 16_000)
    both = array("h", bytes(4 * 16_000))
    both[::2], both[1::2] = left, right
    if raw:
        heard = hear(both.tobytes(), media_type="audio/pcm; rate=16000; channels=2; bits=16", **choice)
    else:
        heard = hear(wav_file(both.tobytes(), channels=2), **choice)
    samples = array("h", b"".join(chunk.data for chunk in heard.chunks))
    parts = [samples[at :: len(expected)][8000] for at in range(len(expected))]
    values = {"a": 3000, "b": -1000, "m": 1000}
    assert parts == [pytest.approx(values[one], abs=60) for one in expected]
    assert f"channels={len(expected)};" in str(heard.format)


@pytest.mark.parametrize(
    ("channels", "told", "transcription", "detail"),
    [
        (1, {}, {"multichannel": True}, "the audio has 1 channel, and transcription.multichannel"),
        (1, {}, {"participants": [{"channel": 5, "role": "doctor"}]}, "names channel 5"),
        (2, {}, {"participants": 2 * [{"channel": 0, "role": "doctor"}]}, "names one of them twice"),
        (2, {"channels": [2]}, {}, "the audio has 2 channels, counted from 0, and audio.channels asks for"),
        (2, {"mix": True}, {"multichannel": True}, "audio.mix makes one channel of all"),
        (10, {}, {}, "the audio has 10 channels; the service takes at most 8"),
    ],
)
@pytest.mark.parametrize("rate", [16_000, 96_000], ids=["as it is", "converted"])
def test_channels_that_do_not_fit_are_refused_and_both_sides_named(
    channels: int, told: dict[str, Any], transcription: dict[str, Any], detail: str, rate: int
) -> None:
    data = wav_file(tone(0.5) * channels, channels=channels, rate=rate)
    error = refused(data, transcription=transcription, **told)
    assert error.reason == "audio_channels"
    assert detail in error.detail


@pytest.mark.parametrize("delay", [0, 5000], ids=["the same", "another"])
@pytest.mark.parametrize("name", ["wav", "flac"])
def test_the_same_sound_on_both_channels_is_a_warning(tmp_path: Path, name: str, delay: int) -> None:
    left = array("h", recordings.sounds())
    both = array("h", bytes(4 * len(left)))
    both[::2] = left
    both[1::2] = left[-delay:] + left[:-delay] if delay else left
    recordings.write_wav(tmp_path / "both.wav", both.tobytes(), channels=2)
    recordings.run(["-i", str(tmp_path / "both.wav"), str(tmp_path / "both.flac")])
    participants = [{"channel": 0, "role": "doctor"}, {"channel": 1, "role": "patient"}]
    heard = hear(
        (tmp_path / f"both.{name}").read_bytes(),
        known_size=True,
        transcription={"multichannel": True, "participants": participants},
    )
    assert ["the same sound" in warning for warning in heard.warnings] == ([] if delay else [True])


def test_ten_channels_are_no_hindrance_if_the_job_picks_some() -> None:
    data = wav_file(tone(0.5) * 10, channels=10)
    assert "channels=2;" in str(hear(data, channels=[9, 0]).format)


@pytest.mark.parametrize("known", [True, False], ids=["at will", "in order"])
@pytest.mark.parametrize("told", ["audio/mpeg", "audio/aac"])
def test_a_list_of_files_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, *, known: bool
) -> None:
    """Left to find out the format by itself, libavformat would send another file of this machine."""
    recordings.write_wav(tmp_path / "another.wav", recordings.sounds())
    monkeypatch.chdir(tmp_path)
    error = refused(b"ffconcat version 1.0\nfile another.wav\n", media_type=told, known_size=known)
    assert error.reason == "audio_unsupported"


def test_a_film_without_sound_is_refused(shelf: Path) -> None:
    film = recordings.run(
        ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=5", "-t", "1", "-f", "matroska", "-"]
    )
    assert refused(film).reason == "audio_no_sound"
    assert refused(film, known_size=True).reason == "audio_no_sound"


def _with_serial(ogg: bytes, serial: bytes) -> bytes:
    """The same pages as another logical stream, with their own checksums (RFC 3533, section 6)."""
    fixed, at = bytearray(ogg), 0
    while at < len(ogg):
        segments = ogg[at + 26]
        end = at + 27 + segments + sum(ogg[at + 27 : at + 27 + segments])
        page = bytearray(ogg[at:end])
        page[14:18] = fixed[at + 14 : at + 18] = serial
        page[22:26] = bytes(4)
        total = 0
        for byte in page:
            total = (total << 8 & 0xFFFFFFFF) ^ _CRC[total >> 24 ^ byte]
        fixed[at + 22 : at + 26] = total.to_bytes(4, "little")
        at = end
    return bytes(fixed)


def _crc(value: int) -> int:
    value <<= 24
    for _ in range(8):
        value = value << 1 ^ (0x04C11DB7 if value & 1 << 31 else 0)
    return value & 0xFFFFFFFF


_CRC = [_crc(value) for value in range(256)]
