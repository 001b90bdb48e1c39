"""The audio library: how it finds the type of a job's audio, declares it and cuts it into chunks."""

from typing import Any

import pytest

from tests.unit.audio.reading import RAW, hear, read, refused, sent
from tests.unit.audio.sounds import CONTAINERS, encoded, fmt, riff, riff_chunk, tone, wav_file

#: Samples that are as long as a word.
WORD = tone(0.2)


@pytest.mark.parametrize("size", [1, 44, 1000, 100_000])
def test_a_wav_file_goes_out_as_declared_samples_without_its_header(size: int) -> None:
    samples = tone(0.6)
    declared, chunks = read(wav_file(samples), size=size)
    assert declared == f"{RAW}; endian=little; encoding=sint"
    assert sent(chunks) == samples
    assert [chunk.seconds for chunk in chunks] == [0.25, 0.25, pytest.approx(0.1)]


def test_what_follows_the_samples_of_a_wav_file_is_not_audio() -> None:
    file = riff(fmt(), riff_chunk(b"data", WORD), riff_chunk(b"LIST", b"by Ada Example"))
    assert sent(read(file)[1]) == WORD
    assert sent(read(file, size=7)[1]) == WORD


@pytest.mark.parametrize("size", [7, 64, 1000])
def test_a_long_header_of_a_wav_file_is_read_block_by_block(size: int) -> None:
    file = riff(riff_chunk(b"LIST", b"x" * 300), fmt(), riff_chunk(b"data", WORD))
    assert sent(read(file, size=size)[1]) == WORD


def test_a_wav_file_of_unknown_length_is_read_to_its_end() -> None:
    file = riff(fmt(), riff_chunk(b"data", WORD, 0xFFFFFFFF))
    assert sent(read(file)[1]) == WORD


def test_a_wav_file_can_go_out_as_the_file_it_is_undeclared() -> None:
    file = wav_file(tone(0.6)) + b"x"
    declared, chunks = read(file, wav_as="wav")
    assert declared is None
    assert sent(chunks) == file
    assert sum(chunk.seconds for chunk in chunks) == pytest.approx(0.6, abs=0.01)


def test_a_wav_file_is_known_by_its_bytes_whatever_it_is_called() -> None:
    for how in {"media_type": "audio/mpeg"}, {"media_type": RAW}, {"served_as": "audio/ogg"}:
        assert str(read(wav_file(tone(0.1)), **how)[0]).startswith("audio/pcm")


@pytest.mark.parametrize("missing", [1, 1000, 19_000])
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_truncated_wav_file_is_refused_if_the_job_wants_that(missing: int, *, known: bool) -> None:
    error = refused(wav_file(tone(0.6))[:-missing], known_size=known, when_truncated="refuse")
    assert error.reason == "audio_truncated"
    assert "its header announces 0.6 s" in error.detail


@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_truncated_wav_file_is_transcribed_with_a_warning(*, known: bool) -> None:
    samples = tone(0.6)
    opened = hear(wav_file(samples)[:-9600], known_size=known)
    assert b"".join(chunk.data for chunk in opened.chunks) == samples[:-9600]
    assert opened.warnings == ("the audio is truncated: it ends at 0.3 s, and its header announces 0.6 s",)


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


@pytest.mark.parametrize("told", ["audio/mpeg", RAW, "audio/flac"])
def test_the_bytes_count_more_than_what_the_job_says_and_the_result_names_both(told: str) -> None:
    opened = hear(encoded("audio/ogg"), media_type=told, served_as="audio/webm")
    assert opened.format == "audio/ogg"
    (warning,) = opened.warnings
    assert told.partition(";")[0] in warning
    assert "the bytes are Ogg" in warning


@pytest.mark.parametrize("told", ["audio/ogg; codecs=opus", "audio/opus", "audio/x-unheard-of", None])
def test_what_the_bytes_do_not_contradict_is_no_warning(told: str | None) -> None:
    opened = hear(encoded("audio/ogg"), media_type=told)
    assert (opened.format, opened.warnings) == ("audio/ogg", ())


@pytest.mark.parametrize(
    "hint", [{"served_as": "Audio/MPEG"}, {"media_type": "audio/mp3"}, {"name": "A.MP3"}]
)
def test_where_the_first_bytes_are_damaged_what_is_said_counts(hint: dict[str, Any]) -> None:
    tagless = encoded("audio/mpeg")
    tagless = tagless[tagless.index(b"\xff\xfb") + 1 :]
    assert hear(tagless, **hint).format == "audio/mpeg"


@pytest.mark.parametrize("served_as", [None, "text/html", "application/octet-stream", "video/mp4"])
def test_audio_of_an_unknown_type_is_refused(served_as: str | None) -> None:
    error = refused(b"<html>not found</html>" * 50, served_as=served_as)
    assert error.reason == "audio_unsupported"
    assert "show none of the formats" in error.detail


@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
@pytest.mark.parametrize("data", [b"", wav_file(b"")], ids=["no bytes", "a header"])
def test_empty_audio_is_refused(data: bytes, *, known: bool) -> None:
    assert refused(data, known_size=known).reason in {"audio_empty", "audio_too_short"}


@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
@pytest.mark.parametrize("told", [None, RAW], ids=["wav", "raw"])
def test_audio_that_is_shorter_than_a_word_is_refused(told: str | None, *, known: bool) -> None:
    data = tone(0.05) if told else wav_file(tone(0.05))
    assert refused(data, known_size=known, media_type=told).reason == "audio_too_short"


@pytest.mark.parametrize("head", [b"-----BEGIN PGP MESSAGE-----\n", b"Salted__"])
def test_an_encrypted_file_is_refused_as_such(head: bytes) -> None:
    assert refused(head + bytes(500)).reason == "audio_encrypted"
