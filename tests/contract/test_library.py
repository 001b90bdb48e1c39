"""The audio library: how it finds the type of a job's audio, declares it and cuts it into chunks."""

import pytest

from tests.unit.audio.reading import RAW, read, refused, sent
from tests.unit.audio.sounds import CONTAINERS, encoded, fmt, riff, riff_chunk, tone, wav_file


@pytest.mark.parametrize("size", [1, 44, 1000, 100_000])
def test_a_wav_file_goes_out_as_declared_samples_without_its_header(size: int) -> None:
    samples = tone(0.6)
    declared, chunks = read(wav_file(samples), size=size)
    assert declared == f"{RAW}; endian=little; encoding=sint"
    assert sent(chunks) == samples
    assert [chunk.seconds for chunk in chunks] == [0.25, 0.25, pytest.approx(0.1)]


def test_what_follows_the_samples_of_a_wav_file_is_not_audio() -> None:
    file = riff(fmt(), riff_chunk(b"data", b"\1\2\3\4"), riff_chunk(b"LIST", b"by Ada Example"))
    assert sent(read(file)[1]) == b"\1\2\3\4"
    assert sent(read(file, size=7)[1]) == b"\1\2\3\4"


@pytest.mark.parametrize("size", [7, 64, 1000])
def test_a_long_header_of_a_wav_file_is_read_block_by_block(size: int) -> None:
    file = riff(riff_chunk(b"LIST", b"x" * 300), fmt(), riff_chunk(b"data", b"\1\2\3\4"))
    assert sent(read(file, size=size)[1]) == b"\1\2\3\4"


def test_a_wav_file_of_unknown_length_is_read_to_its_end() -> None:
    file = riff(fmt(), riff_chunk(b"data", b"\1\2\3\4" * 500, 0xFFFFFFFF))
    assert sent(read(file)[1]) == b"\1\2\3\4" * 500


def test_a_wav_file_can_go_out_as_the_file_it_is_undeclared() -> None:
    file = wav_file(tone(0.6)) + b"x"
    declared, chunks = read(file, wav_as="wav")
    assert declared is None
    assert sent(chunks) == file
    assert sum(chunk.seconds for chunk in chunks) == pytest.approx(0.6, abs=0.01)


def test_a_wav_file_is_known_by_its_bytes_whatever_it_is_called() -> None:
    for how in {"media_type": "audio/mpeg"}, {"media_type": RAW}, {"served_as": "audio/ogg"}:
        assert str(read(wav_file(tone(0.1)), **how)[0]).startswith("audio/pcm")  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", [1, 1000, 19_000])
def test_a_wav_file_that_is_cut_short_is_refused_because_words_would_be_missing(missing: int) -> None:
    error = refused(wav_file(tone(0.6))[:-missing])
    assert error.reason == "audio_unsupported"
    assert "cut short" in error.detail


def test_a_wav_file_that_ends_within_its_header_is_refused() -> None:
    assert "ends within its header" in refused(wav_file(b"")[:30]).detail


def test_raw_samples_go_out_as_the_job_declares_them() -> None:
    samples = tone(0.6)
    declared, chunks = read(samples + b"x", media_type=RAW.upper().replace("AUDIO/PCM", "audio/PCM"))
    assert declared == RAW.upper().replace("AUDIO/PCM", "audio/PCM")
    assert sent(chunks) == samples
    assert [len(chunk.data) for chunk in chunks] == [8000, 8000, 3200]


@pytest.mark.parametrize(
    ("rate", "channels", "bits"), [(8000, 1, 8), (48_000, 8, 16), (16_000, 2, 24), (16_000, 1, 32)]
)
def test_raw_samples_within_the_services_ranges_are_taken(rate: int, channels: int, bits: int) -> None:
    second = bytes(rate * channels * bits // 8)
    _, chunks = read(second, media_type=f"audio/pcm; rate={rate}; channels={channels}; bits={bits}")
    assert sum(chunk.seconds for chunk in chunks) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "media_type",
    [
        "audio/pcm",
        "audio/pcm; rate=16000",
        "audio/pcm; rate=16000; channels=1",
        "audio/pcm; rate=7999; channels=1; bits=16",
        "audio/pcm; rate=48001; channels=1; bits=16",
        "audio/pcm; rate=16000; channels=9; bits=16",
        "audio/pcm; rate=16000; channels=0; bits=16",
        "audio/pcm; rate=16000; channels=1; bits=12",
        "audio/pcm; rate=fast; channels=1; bits=16",
    ],
)
def test_raw_samples_that_are_not_declared_well_are_refused(media_type: str) -> None:
    error = refused(tone(0.1), media_type=media_type)
    assert error.reason == "audio_unsupported"
    assert "raw PCM needs audio.media_type" in error.detail


@pytest.mark.parametrize("media_type", sorted(CONTAINERS))
def test_a_container_goes_out_whole_and_is_declared_by_its_first_bytes(media_type: str) -> None:
    declared, chunks = read(encoded(media_type))
    assert declared == media_type
    assert sent(chunks) == encoded(media_type)


def test_the_producers_type_comes_before_the_first_bytes_and_these_before_the_servers_type() -> None:
    ogg = encoded("audio/ogg")
    assert (
        read(ogg, media_type="audio/ogg; codecs=opus", served_as="audio/webm")[0] == "audio/ogg; codecs=opus"
    )
    assert read(ogg, media_type="audio/x-unheard-of", served_as="audio/webm")[0] == "audio/ogg"
    tagless = encoded("audio/mpeg")
    tagless = tagless[tagless.index(b"\xff\xfb") + 1 :]
    assert read(tagless, served_as="Audio/MPEG")[0] == "Audio/MPEG"


@pytest.mark.parametrize(
    "name", ["ogg", "webm", "opus", "vorbis", "mpeg", "mp3", "mpeg3", "flac", "mp4", "m4a"]
)
def test_every_type_of_the_services_list_may_be_declared(name: str) -> None:
    assert read(encoded("audio/ogg"), media_type=f"audio/{name}")[0] == f"audio/{name}"


@pytest.mark.parametrize("served_as", [None, "text/html", "application/octet-stream", "video/mp4"])
def test_audio_of_an_unknown_type_is_refused(served_as: str | None) -> None:
    error = refused(b"<html>not found</html>" * 50, served_as=served_as)
    assert error.reason == "audio_unsupported"
    assert "neither WAV, Ogg, WebM, MP3, FLAC nor MP4" in error.detail


def test_empty_audio_is_refused() -> None:
    assert refused(b"").detail == "the audio is empty"
