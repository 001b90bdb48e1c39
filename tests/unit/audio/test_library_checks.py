"""Checks of audio while it is sent: its digest, its length, and whether its source breaks off."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import pytest

from tests.unit.audio.reading import RAW, OneSource, T, job_of, library_of, read, refused, sent
from tests.unit.audio.sounds import blocks, encoded, fmt, riff, riff_chunk, tone, wav_file
from worker.audio.reading import Source
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.errors import PermanentError, Reason, TransientError


@pytest.mark.parametrize("data", [wav_file(tone(0.6)), b"ID3"], ids=["wav", "short"])
def test_a_digest_that_does_not_match_fails_the_job(data: bytes) -> None:
    error = refused(data, sha256="ab" * 32, media_type=RAW)
    assert error.reason == "audio_mismatch"


@pytest.mark.parametrize("wav_as", ["pcm", "wav"])
@pytest.mark.parametrize("data", [wav_file(tone(0.6)), encoded("audio/ogg"), encoded("audio/flac")])
def test_a_digest_is_that_of_the_whole_file_in_either_case_of_letters(
    data: bytes, wav_as: Literal["pcm", "wav"]
) -> None:
    digest = hashlib.sha256(data).hexdigest()
    for written in digest, digest.upper():
        assert read(data, sha256=written, wav_as=wav_as)[1]
    assert refused(data + b"x", sha256=digest, wav_as=wav_as).reason == "audio_mismatch"


def test_the_digest_covers_what_follows_the_samples() -> None:
    file = riff(fmt(), riff_chunk(b"data", tone(0.2)), riff_chunk(b"LIST", b"x" * 5000))
    assert sent(read(file, sha256=hashlib.sha256(file).hexdigest())[1]) == tone(0.2)


@pytest.mark.parametrize("wav_as", ["pcm", "wav"])
def test_audio_that_lasts_too_long_is_refused(wav_as: Literal["pcm", "wav"]) -> None:
    for data in wav_file(tone(1.3)), encoded("audio/webm"):
        error = refused(data, max_seconds=1, wav_as=wav_as)
        assert error.reason == "audio_too_long"
        assert "longer than 1 s" in error.detail


def test_a_wav_file_that_announces_too_much_is_refused_before_anything_is_sent() -> None:
    def only_the_header() -> Iterator[bytes]:
        yield wav_file(tone(1.3))[:64]
        pytest.fail("read on")

    with pytest.raises(PermanentError, match="audio_too_long"):
        read(only_the_header(), max_seconds=1)


def test_raw_samples_are_sent_up_to_the_limit_for_their_length_is_known_only_then() -> None:
    source = OneSource(blocks(tone(1.3)), None)
    library = library_of(source, max_seconds=1)
    with library.open(job_of(Audio(uri="file:///a", media_type=RAW)), Interrupt()) as audio:
        chunks = audio.chunks()
        assert [next(chunks).seconds for _ in range(4)] == [0.25] * 4
        with pytest.raises(PermanentError, match="audio_too_long"):
            next(chunks)


@pytest.mark.parametrize("after", [0, 40, 5000])
@pytest.mark.parametrize("data", [wav_file(tone(0.6)), encoded("audio/ogg")], ids=["wav", "ogg"])
def test_the_error_of_a_source_that_breaks_off_is_raised_unchanged(data: bytes, after: int) -> None:
    failure = TransientError(Reason.AUDIO_UNREACHABLE, "the download broke off")

    def breaking() -> Iterator[bytes]:
        yield from blocks(data[:after], 10)
        raise failure

    with pytest.raises(TransientError) as caught:
        read(breaking())
    assert caught.value is failure


@pytest.mark.parametrize("at_hand", [True, False])
@pytest.mark.parametrize(
    "data", [wav_file(tone(0.1)), encoded("audio/ogg"), tone(0.1)], ids=["wav", "ogg", "raw"]
)
def test_audio_is_at_hand_where_its_source_is(data: bytes, *, at_hand: bool) -> None:
    source = OneSource(blocks(data), None, at_hand=at_hand)
    library = library_of(source, max_seconds=60)
    raw = Audio(uri="file:///a", media_type=None if data[:4] in {b"RIFF", b"OggS"} else RAW)
    with library.open(job_of(raw), Interrupt()) as audio:
        assert audio.at_hand is at_hand


@pytest.mark.parametrize("wav_as", ["pcm", "wav"])
@pytest.mark.parametrize(
    "data",
    [wav_file(tone(2)), encoded("audio/ogg"), encoded("audio/mpeg"), tone(2)],
    ids=["wav", "ogg", "mp3", "raw"],
)
def test_the_first_chunk_is_read_when_the_audio_is_opened(data: bytes, wav_as: Literal["pcm", "wav"]) -> None:
    taken: list[bytes] = []

    def telling() -> Iterator[bytes]:
        for block in blocks(data, 1000):
            taken.append(block)
            yield block

    source = OneSource(telling(), None)
    library = library_of(source, max_seconds=60, wav_as=wav_as)
    raw = data[:4] not in {b"RIFF", b"OggS"} and data[:3] != b"ID3"
    with library.open(job_of(Audio(uri="file:///a", media_type=RAW if raw else None)), Interrupt()) as audio:
        before = len(taken)
        assert next(audio.chunks()).seconds > 0
        assert len(taken) == before


def test_a_source_is_told_how_much_audio_its_bytes_were() -> None:
    class Told(OneSource):
        @contextmanager
        def open(self, audio: Audio, interrupt: Interrupt, begin: Callable[[Source], T]) -> Iterator[T]:
            with super().open(
                audio, interrupt, lambda source: begin(replace(source, heard=heard.append))
            ) as it:
                yield it

    heard: list[float] = []
    source = Told(blocks(wav_file(tone(0.6))), None, at_hand=False)
    library = library_of(source, max_seconds=60)
    with library.open(job_of(Audio(uri="https://h/a")), Interrupt()) as audio:
        assert [chunk.seconds for chunk in audio.chunks()] == heard
    assert sum(heard) == pytest.approx(0.6)
