"""What a job's audio turns out to be, and how it is declared, cut and checked."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import pytest

from tests.unit.audio.sounds import CONTAINERS, blocks, encoded, fmt, riff, riff_chunk, tone, wav_file
from worker.audio.library import Library
from worker.audio.pace import Chunk
from worker.audio.source import Source, Sources
from worker.errors import PermanentError, Reason, TransientError
from worker.job import Audio

RAW = "audio/pcm; rate=16000; channels=1; bits=16"


class OneSource:
    """Sources that hold one file, and know whether it was read whole and closed."""

    def __init__(self, data: Iterator[bytes], served_as: str | None) -> None:
        self._data = data
        self._served_as = served_as
        self.open_now = False

    @contextmanager
    def open(self, _: Audio) -> Iterator[Source]:
        self.open_now = True
        try:
            yield Source(self._data, self._served_as)
        finally:
            self.open_now = False


def read(
    data: bytes | Iterator[bytes],
    *,
    size: int = 1000,
    served_as: str | None = None,
    wav_as: Literal["pcm", "wav"] = "pcm",
    max_seconds: float = 60,
    **told: Any,
) -> tuple[str | None, list[Chunk]]:
    """How this data is declared, and its chunks."""
    source = OneSource(blocks(data, size) if isinstance(data, bytes) else data, served_as)
    library = Library(cast("Sources", source), chunk_seconds=0.25, max_seconds=max_seconds, wav_as=wav_as)
    with library.open(Audio(uri="file:///a", **told)) as audio:
        declared, chunks = audio.format, list(audio.chunks())
        held = source.open_now
    assert (held, source.open_now) == (True, False)
    return declared, chunks


def sent(chunks: list[Chunk]) -> bytes:
    """What the service gets."""
    return b"".join(chunk.data for chunk in chunks)


def refused(data: bytes, **how: Any) -> PermanentError:
    """Why this data is refused."""
    with pytest.raises(PermanentError) as caught:
        read(data, **how)
    return caught.value


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


def test_a_wav_file_of_unknown_length_is_read_to_its_end() -> None:
    file = riff(fmt(), riff_chunk(b"data", b"\1\2\3\4" * 500, 0xFFFFFFFF))
    assert sent(read(file)[1]) == b"\1\2\3\4" * 500


def test_a_wav_file_can_go_out_as_the_file_it_is_undeclared() -> None:
    file = wav_file(tone(0.6))
    declared, chunks = read(file, wav_as="wav")
    assert declared is None
    assert sent(chunks) == file
    assert sum(chunk.seconds for chunk in chunks) == pytest.approx(0.6, abs=0.01)


def test_a_wav_file_is_known_by_its_bytes_whatever_it_is_called() -> None:
    for how in {"media_type": "audio/mpeg"}, {"media_type": RAW}, {"served_as": "audio/ogg"}:
        assert str(read(wav_file(tone(0.1)), **how)[0]).startswith("audio/pcm")  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", [1, 1000, 19_000])
def test_a_wav_file_that_is_cut_short_is_refused_for_words_would_be_missing(missing: int) -> None:
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


def test_the_producers_word_comes_before_the_bytes_and_the_bytes_before_the_server() -> None:
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
def test_what_nobody_knows_is_refused(served_as: str | None) -> None:
    error = refused(b"<html>not found</html>" * 50, served_as=served_as)
    assert error.reason == "audio_unsupported"
    assert "neither WAV, Ogg, WebM, MP3, FLAC nor MP4" in error.detail


def test_empty_audio_is_refused() -> None:
    assert refused(b"").detail == "the audio is empty"


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
    file = riff(fmt(), riff_chunk(b"data", b"\1\2\3\4"), riff_chunk(b"LIST", b"x" * 5000))
    assert sent(read(file, sha256=hashlib.sha256(file).hexdigest())[1]) == b"\1\2\3\4"


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
    library = Library(cast("Sources", source), chunk_seconds=0.25, max_seconds=1, wav_as="pcm")
    with library.open(Audio(uri="file:///a", media_type=RAW)) as audio:
        chunks = audio.chunks()
        assert [next(chunks).seconds for _ in range(4)] == [0.25] * 4
        with pytest.raises(PermanentError, match="audio_too_long"):
            next(chunks)


@pytest.mark.parametrize("after", [0, 40, 5000])
@pytest.mark.parametrize("data", [wav_file(tone(0.6)), encoded("audio/ogg")], ids=["wav", "ogg"])
def test_a_source_that_breaks_off_is_told_as_it_is(data: bytes, after: int) -> None:
    failure = TransientError(Reason.AUDIO_UNREACHABLE, "the download broke off")

    def breaking() -> Iterator[bytes]:
        yield from blocks(data[:after], 10)
        raise failure

    with pytest.raises(TransientError) as caught:
        read(breaking())
    assert caught.value is failure
