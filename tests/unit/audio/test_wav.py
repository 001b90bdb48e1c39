"""Reading the header of a WAV file; the files are made by the standard library where it can, else by hand."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.audio.sounds import EXTENSIBLE, FLOAT, extension, fmt, riff, riff_chunk, wav_file
from worker.audio.wav import WavHeader, is_wav, read_header
from worker.contract.errors import PermanentError

DATA = riff_chunk(b"data", b"\1\2\3\4")


def refused(head: bytes) -> str:
    """Read a header that must be refused; return the reason."""
    with pytest.raises(PermanentError) as caught:
        read_header(head)
    assert caught.value.reason == "audio_unsupported"
    return caught.value.detail


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16_000, 2), (44_100, 1), (48_000, 8)])
def test_a_header_of_the_standard_library_is_read(rate: int, channels: int, bits: int) -> None:
    samples = bytes(channels * bits // 8 * 3)
    file = wav_file(samples, rate=rate, channels=channels, bits=bits)
    header = read_header(file)
    assert header == WavHeader(rate, channels, bits, 44, len(samples))
    assert header is not None
    assert file[header.data_offset :] == samples
    assert (header.align, header.bytes_per_second) == (channels * bits // 8, rate * channels * bits // 8)


@pytest.mark.parametrize(("bits", "encoding"), [(8, "uint"), (16, "sint"), (24, "sint"), (32, "sint")])
def test_the_samples_are_declared_as_the_service_wants(bits: int, encoding: str) -> None:
    header = read_header(wav_file(b"", rate=16_000, channels=2, bits=bits))
    assert header is not None
    assert header.audio_format == (
        f"audio/pcm; rate=16000; channels=2; bits={bits}; endian=little; encoding={encoding}"
    )


def test_the_extensible_format_of_multichannel_recorders_is_read() -> None:
    header = read_header(riff(fmt(EXTENSIBLE, channels=4, bits=24, extra=extension(bits=24)), DATA))
    assert header is not None
    assert (header.channels, header.bits, header.data_size) == (4, 24, 4)


def test_an_extensible_format_is_known_by_the_first_bytes_of_its_extension() -> None:
    header = read_header(riff(fmt(EXTENSIBLE, extra=extension()[:10]), DATA))
    assert header is not None
    assert header.plain
    header = read_header(riff(fmt(EXTENSIBLE, extra=extension()[:9]), DATA))
    assert header is not None
    assert not header.plain


@pytest.mark.parametrize("size", [0, 1, 26, 27])
def test_other_chunks_are_skipped_with_their_padding(size: int) -> None:
    file = riff(riff_chunk(b"LIST", b"x" * size), fmt(extra=b"\0\0"), riff_chunk(b"fact", b"abc"), DATA)
    header = read_header(file)
    assert header is not None
    assert file[header.data_offset :] == b"\1\2\3\4"


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF - 36])
def test_a_size_that_the_writer_did_not_know_is_unknown(size: int) -> None:
    header = read_header(riff(fmt(), riff_chunk(b"data", b"", size)))
    assert header is not None
    assert header.data_size is None


def test_a_file_of_more_than_four_gigabytes_is_read_to_its_end() -> None:
    ds64 = riff_chunk(b"ds64", bytes(28))
    header = read_header(riff(ds64, fmt(), riff_chunk(b"data", b"", 0xFFFFFFFF), magic=b"RF64"))
    assert header is not None
    assert header.data_size is None


@given(st.integers(0, 120))
def test_a_header_needs_more_bytes_until_its_samples_begin(size: int) -> None:
    file = riff(riff_chunk(b"LIST", b"x" * 31), fmt(extra=b"\0\0"), DATA)
    header = read_header(file[:size])
    begin = len(file) - 4
    assert (header is not None) == (size >= begin)
    assert header is None or header.data_offset == begin


@pytest.mark.parametrize(
    ("head", "detail"),
    [
        (riff(DATA), "samples before their format"),
        (riff(riff_chunk(b"fmt ", b"\1\0\1\0"), DATA), "format chunk is too short"),
        (riff(riff_chunk(b"junk", b"", 1 << 20)), "no samples within its first MiB"),
        (riff(fmt(), riff_chunk(b"LIST", b"", 0xFFFFFFFF)), "no samples within its first MiB"),
        (riff(riff_chunk(b"fmt ", b"", 1 << 21)) + bytes(1 << 20), "no samples within its first MiB"),
    ],
)
def test_a_broken_header_is_refused_with_the_reason(head: bytes, detail: str) -> None:
    assert detail in refused(head)


@pytest.mark.parametrize(
    "head",
    [
        riff(fmt(FLOAT, bits=32), DATA),
        riff(fmt(EXTENSIBLE, bits=32, extra=extension(FLOAT)), DATA),
        riff(fmt(EXTENSIBLE), DATA),
        riff(fmt(6, bits=8), DATA),
        riff(fmt(rate=7999), DATA),
        riff(fmt(rate=48_001), DATA),
        riff(fmt(channels=0), DATA),
        riff(fmt(channels=9), DATA),
        riff(fmt(bits=12, align=2), DATA),
        riff(fmt(bits=64), DATA),
        riff(fmt(channels=2, align=2), DATA),
    ],
)
def test_samples_that_the_service_does_not_take_are_not_plain(head: bytes) -> None:
    header = read_header(head)
    assert header is not None
    assert not header.plain


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_a_file_of_more_than_four_gigabytes_says_its_size_in_a_chunk_of_its_own(magic: bytes) -> None:
    ds64 = riff_chunk(b"ds64", struct.pack("<QQQI", 0, 5 << 30, 0, 0))
    header = read_header(riff(ds64, fmt(), riff_chunk(b"data", b"\1\2", 0xFFFFFFFF), magic=magic))
    assert header is not None
    assert header.data_size == 5 << 30


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (wav_file(b""), True),
        (riff(magic=b"RF64"), True),
        (b"RIFF\0\0\0\0AVI ", False),
        (b"RIFX\0\0\0\0WAVE", False),
        (b"RIFF\0\0\0\0WAV", False),
        (b"", False),
    ],
)
def test_a_wav_file_is_known_by_its_first_twelve_bytes(head: bytes, expected: bool) -> None:
    assert is_wav(head) is expected


@given(st.binary(max_size=80))
def test_no_bytes_after_the_magic_make_the_reader_raise_anything_else(data: bytes) -> None:
    for head in b"RIFF\0\0\0\0WAVE" + data, riff(fmt(), data):
        with suppress(PermanentError):
            header = read_header(head)
            assert header is None or header.data_offset <= len(head)
