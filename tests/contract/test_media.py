"""Compressed audio: every byte is sent, in order, at the pace of the audio's time stamps."""

import threading
from collections.abc import Iterator
from itertools import islice

import pytest

from tests.unit.audio.sounds import CONTAINERS, blocks, encode, encoded, pictures, tone, wav_file
from worker.audio.media.files import OrderedFile
from worker.audio.media.formats import MEDIA_TYPES, essence, sniff, sniff_frames
from worker.audio.media.passing import passed
from worker.audio.media.track import Track
from worker.contract.errors import JobError, PermanentError, Reason, TransientError
from worker.protocol.pace import MAX_CHUNK_BYTES, Chunk

TYPES = sorted(CONTAINERS)


def cut(data: bytes, size: int = 1000, seconds: float = 0.25) -> list[Chunk]:
    """The chunks of a container that arrives in blocks of this size."""
    return list(container_chunks(blocks(data, size), data, seconds))


def container_chunks(data: Iterator[bytes], head: bytes, seconds: float) -> Iterator[Chunk]:
    file = OrderedFile(data, keep=True)
    return passed(Track(file, demuxer_of(head) or "mp3"), file, seconds)


def demuxer_of(head: bytes) -> str | None:
    return sniff(head) or sniff_frames(head)


@pytest.mark.parametrize("size", [97, 100_000])
@pytest.mark.parametrize("media_type", TYPES)
def test_the_chunks_are_the_file_and_last_as_long_as_it_does(media_type: str, size: int) -> None:
    data = encoded(media_type)
    chunks = cut(data, size)
    assert b"".join(chunk.data for chunk in chunks) == data
    assert sum(chunk.seconds for chunk in chunks) == pytest.approx(1.3, abs=0.1)
    assert all(0 < len(chunk.data) <= MAX_CHUNK_BYTES for chunk in chunks)
    assert all(chunk.seconds >= 0 for chunk in chunks)


@pytest.mark.parametrize("media_type", TYPES)
def test_chunks_last_about_as_long_as_asked_for(media_type: str) -> None:
    chunks = cut(encoded(media_type), 200)
    # A page or a frame cannot be split in time, so a chunk may be longer by one frame of FLAC.
    assert all(0.2 < chunk.seconds < 0.4 for chunk in chunks[:-1])
    assert 4 <= len(chunks) <= 7


@pytest.mark.parametrize("media_type", TYPES)
def test_the_first_bytes_tell_the_type(media_type: str) -> None:
    demuxer = demuxer_of(encoded(media_type)[:64])
    assert demuxer is not None
    assert MEDIA_TYPES[demuxer] == media_type


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"ID3\4" + bytes(60), "mp3"),
        (b"\xff\xfb" + bytes(60), "mp3"),
        (b"\xff\xf3" + bytes(60), "mp3"),
        (b"\xff\xf2" + bytes(60), "mp3"),
        (b"\xff\xfa" + bytes(60), "mp3"),
        (b"\xff\xd8" + bytes(60), None),
        (b"\0\0\0\x20ftypM4A ", "mov"),
        (b"ftyp", None),
        (b"RIFF", None),
        (b"", None),
    ],
)
def test_a_type_is_known_only_by_its_magic_bytes(head: bytes, expected: str | None) -> None:
    assert demuxer_of(head) == expected


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [("Audio/OGG; codecs=opus", "audio/ogg"), (" audio/mpeg ", "audio/mpeg"), (None, ""), ("", "")],
)
def test_parameters_and_case_of_a_media_type_do_not_matter(media_type: str | None, expected: str) -> None:
    assert essence(media_type) == expected


def test_a_chunk_keeps_to_the_services_limit_however_long_it_lasts() -> None:
    # Uncompressed audio in a container, cut into two seconds: 64,000 bytes and a header.
    chunks = cut(wav_file(tone(2.5)), 4096, seconds=5.0)
    assert [len(chunk.data) for chunk in chunks] == [40_022, 40_022]
    assert sum(chunk.seconds for chunk in chunks) == pytest.approx(2.5)


def test_a_recording_whose_clock_does_not_begin_at_zero_keeps_its_pace() -> None:
    data = encode("webm", "libopus", 16_000, {}, 1.3, begin=1000.0)
    chunks = cut(data)
    assert sum(chunk.seconds for chunk in chunks) == pytest.approx(1.3, abs=0.1)
    assert all(chunk.seconds < 0.4 for chunk in chunks)


def test_bytes_behind_the_audio_are_sent_too() -> None:
    data = encoded("audio/mp4") + bytes(300_000)
    chunks = cut(data)
    assert b"".join(chunk.data for chunk in chunks) == data
    assert max(len(chunk.data) for chunk in chunks) <= MAX_CHUNK_BYTES


def test_a_title_in_an_unknown_encoding_is_no_reason_to_refuse_a_consultation() -> None:
    data = encode("flac", "flac", 16_000, {}, 0.5, title="KNEE").replace(b"KNEE", b"\xff\xfe\xff\xc3")
    assert b"\xff\xfe\xff\xc3" in data
    assert b"".join(chunk.data for chunk in cut(data)) == data


def test_pictures_without_sound_are_unsupported() -> None:
    with pytest.raises(PermanentError, match="audio_no_sound"):
        cut(pictures())


def test_audio_that_is_cut_short_goes_out_as_far_as_it_goes() -> None:
    data = encoded("audio/mpeg")
    chunks = cut(data[: len(data) // 2])
    assert b"".join(chunk.data for chunk in chunks) == data[: len(data) // 2]
    assert sum(chunk.seconds for chunk in chunks) == pytest.approx(0.65, abs=0.1)


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\0" * 100,
        b"hello" * 1000,
        b"OggS" + b"x" * 5000,
        b"ID3" + bytes(5000),
        b"\x1aE\xdf\xa3" + b"x" * 500,
        b"fLaC" + bytes(500),
        b"\0\0\0\x20ftypM4A " + bytes(500),
        b"<html>no such file</html>",
    ],
)
def test_junk_is_unsupported_audio(junk: bytes) -> None:
    with pytest.raises(PermanentError) as caught:
        cut(junk)
    assert caught.value.reason == "audio_unsupported"


def test_an_mp4_whose_index_comes_last_is_unsupported_for_it_cannot_be_streamed() -> None:
    with pytest.raises(PermanentError) as caught:
        cut(encode("mp4", "aac", 16_000, {}, 0.5))
    assert caught.value.reason == "audio_unsupported"


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("error_class", [PermanentError, TransientError])
def test_a_failure_of_the_source_comes_through_unchanged(error_class: type[JobError], after: int) -> None:
    failure = error_class(Reason.AUDIO_UNREACHABLE, "the download broke off")

    def source() -> Iterator[bytes]:
        yield from islice(blocks(encoded("audio/ogg")), after)
        raise failure

    with pytest.raises(error_class) as caught:
        list(container_chunks(source(), b"OggS", 0.25))
    assert caught.value is failure


def test_a_track_that_is_left_during_a_read_is_released_after_the_read() -> None:
    """The read hangs in a file system. A release under it would crash the process with all its streams."""
    hangs, goes_on = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        data = encode("flac", "flac", 16_000, {}, 60.0)
        half = len(data) // 2
        yield from blocks(data[:half], 1000)
        hangs.set()
        assert goes_on.wait(20)
        yield from blocks(data[half:], 1000)

    track = Track(OrderedFile(slow(), keep=False), "flac")
    count: list[int] = []
    reader = threading.Thread(target=lambda: count.append(sum(1 for _ in track.packets())))
    reader.start()
    assert hangs.wait(20)
    track.close()
    closed = [track.closed]
    goes_on.set()
    reader.join(20)
    closed.append(track.closed)
    assert closed == [False, True], "not while the read is under way"
    assert count[0] < 60 * 16_000 / 1152, "and nothing more was read"
