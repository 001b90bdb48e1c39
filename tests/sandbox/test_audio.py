"""Declared formats, raw samples of every kind, WAV headers."""

import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.sandbox.audio.decoder import AudioError, PcmDecoder
from ops.sandbox.audio.detect import WavDecoder
from ops.sandbox.audio.format import ContainerFormat, FormatError, PcmFormat, parse_format, sniff

VALUES = [-32768, -12345, -256, -1, 0, 1, 255, 12345, 32767]


def test_the_string_accepted_live_is_accepted() -> None:
    declared = "audio/pcm; rate=16000; channels=2; bits=16; endian=little; encoding=sint"
    assert parse_format(declared) == PcmFormat(16_000, 2, 16)
    assert parse_format("AUDIO/PCM;rate=8000;channels=1;bits=8;endian=big;encoding=uint") == PcmFormat(
        8000, 1, 8, big_endian=True, unsigned=True
    )


def test_containers_by_mime_type() -> None:
    assert parse_format(None) == ContainerFormat()
    assert parse_format("audio/webm; codecs=opus") == ContainerFormat(("matroska",))
    assert parse_format('audio/ogg; codecs="vorbis"') == ContainerFormat(("ogg",))


@pytest.mark.parametrize(
    "declared",
    [
        "",
        "pcm",
        "application/json",
        "audio/pcm",
        "audio/pcm; rate=16000; channels=1",
        "audio/pcm; rate=7999; channels=1; bits=16",
        "audio/pcm; rate=48001; channels=1; bits=16",
        "audio/pcm; rate=16000; channels=9; bits=16",
        "audio/pcm; rate=16000; channels=0; bits=16",
        "audio/pcm; rate=16000; channels=1; bits=12",
        "audio/pcm; rate=16000; channels=1; bits=16; endian=middle",
        "audio/pcm; rate=16000; channels=1; bits=16; encoding=float",
        "audio/pcm; rate=16000; channels=1; bits=16; colour=red",
        "audio/pcm; rate=16000; rate=16000; channels=1; bits=16",
        "audio/pcm; rate=1e4; channels=1; bits=16",
        "audio/pcm; rate",
        "audio/mpeg; codecs=opus",
        "audio/webm; codecs=speex",
        "audio/flac; rate=16000",
    ],
)
def test_undocumented_formats_are_refused(declared: str) -> None:
    with pytest.raises(FormatError):
        parse_format(declared)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"OggS\0", "ogg"),
        (b"\x1a\x45\xdf\xa3", "matroska"),
        (b"fLaC", "flac"),
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90\x00", "mp3"),
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"\xff\xf1\x50\x80", None),
        (b"RIFF\0\0\0\0AVI ", None),
        (b"\0\0\0\0\0\0\0\0", None),
        (b"", None),
    ],
)
def test_containers_are_known_by_their_first_bytes(head: bytes, name: str | None) -> None:
    assert sniff(head) == name


def packed(values: list[int], form: PcmFormat) -> bytes:
    """Write 16-bit values as samples of another kind, independently of the decoder."""
    out = b""
    for value in values:
        wide = value * 2 ** (form.bits - 16) if form.bits > 16 else value >> (16 - form.bits)
        wide += 2 ** (form.bits - 1) if form.unsigned else 0
        out += wide.to_bytes(form.bits // 8, "big" if form.big_endian else "little", signed=not form.unsigned)
    return out


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("unsigned", [False, True])
def test_every_kind_of_sample_becomes_16_bits(bits: int, big_endian: bool, unsigned: bool) -> None:
    form = PcmFormat(16_000, 1, bits, big_endian, unsigned)
    decoder = PcmDecoder(form)
    decoder.feed(packed(VALUES, form))
    expected = VALUES if bits > 8 else [value >> 8 << 8 for value in VALUES]
    assert list(decoder.take()[0]) == expected


@given(
    cuts=st.lists(st.integers(0, 240), max_size=8),
    channels=st.integers(1, 3),
    bits=st.sampled_from([8, 16, 24]),
)
def test_samples_survive_any_chunking(cuts: list[int], channels: int, bits: int) -> None:
    data = bytes(range(240))
    form = PcmFormat(16_000, channels, bits)
    whole, pieces = PcmDecoder(form), PcmDecoder(form)
    whole.feed(data)
    edges = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(edges):
        pieces.feed(data[start:end])
    expected = list(whole.take()[0])
    assert [value for block in pieces.take() for value in block] == expected
    assert pieces.idle


def riff(
    *, tag: int = 1, channels: int = 1, rate: int = 16_000, bits: int = 16, before: bytes = b""
) -> bytes:
    form = struct.pack(
        "<HHIIHH", tag, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits
    )
    return b"RIFF\xff\xff\xff\xffWAVE" + before + b"fmt \x10\0\0\0" + form + b"data\xff\xff\xff\xff"


@pytest.mark.parametrize("step", [1, 7, 44, 1000])
def test_a_wav_header_may_come_in_pieces_and_hold_other_chunks(step: int) -> None:
    odd_chunk = b"LIST\x05\0\0\0hello\0"
    data = riff(rate=22_050, channels=2, before=odd_chunk) + struct.pack("<4h", 1, 2, 3, 4)
    decoder = WavDecoder()
    for at in range(0, len(data), step):
        decoder.feed(data[at : at + step])
    decoder.finish()
    assert [value for block in decoder.take() for value in block] == [1, 2, 3, 4]
    assert (decoder.rate, decoder.channels, decoder.finished) == (22_050, 2, True)


@pytest.mark.parametrize("change", [{"tag": 85}, {"tag": 3}, {"bits": 12}, {"channels": 0}, {"rate": 96_000}])
def test_wav_that_is_no_usable_pcm_is_refused(change: dict[str, Any]) -> None:
    decoder = WavDecoder()
    decoder.feed(riff(**change))
    with pytest.raises(AudioError):
        decoder.take()


def test_wav_without_format_or_end_is_refused() -> None:
    for data in (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x7f" + bytes(70)):
        decoder = WavDecoder()
        decoder.feed(data)
        with pytest.raises(AudioError):
            decoder.take()
