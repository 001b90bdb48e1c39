"""Parse a declared ``audioFormat``, and detect the container of a stream (PROTOCOL.md 5)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RATES = range(8000, 48001)
_CHANNELS = range(1, 9)
_BITS = (8, 16, 24, 32)
_PARAMETER = re.compile(r"\s*([A-Za-z]+)\s*=\s*\"?([A-Za-z0-9_.-]+)\"?\s*")
_PCM_KEYS = ("rate", "channels", "bits", "endian", "encoding")

#: libavformat's names of the allowed containers, by MIME type.
_CONTAINERS: dict[str, tuple[str, ...]] = {
    "audio/ogg": ("ogg",),
    "audio/webm": ("matroska",),
    "audio/opus": ("ogg", "matroska"),
    "audio/vorbis": ("ogg", "matroska"),
    "audio/mpeg": ("mp3",),
    "audio/mp3": ("mp3",),
    "audio/mpeg3": ("mp3",),
    "audio/flac": ("flac",),
    "audio/mp4": ("mp4",),
    "audio/m4a": ("mp4",),
    # Not a documented stream type, but the quick start streams a WAV file (PROTOCOL.md 10, row 11).
    "audio/wav": ("wav",),
    "audio/x-wav": ("wav",),
}
_CODEC_TYPES = ("audio/ogg", "audio/webm")
_CODECS = ("opus", "vorbis")
_SYNC, _SYNC_REST, _LAYER_MASK = 0xFF, 0xE0, 0x06


class FormatError(ValueError):
    """An ``audioFormat`` is refused; the text becomes the ``reason``."""


@dataclass(frozen=True)
class PcmFormat:
    """Raw interleaved samples; ``rate`` in Hz, ``bits`` for each sample."""

    rate: int
    channels: int
    bits: int
    big_endian: bool = False
    unsigned: bool = False

    @classmethod
    def checked(cls, *, rate: int, channels: int, bits: int, unsigned: bool) -> PcmFormat:
        """Make a little-endian format from the numbers in a header.

        Raises:
            FormatError: a number is out of range.
        """
        for name, value, allowed in (
            ("rate", rate, _RATES),
            ("channels", channels, _CHANNELS),
            ("bits", bits, _BITS),
        ):
            if value not in allowed:
                raise FormatError(f"{name} {value} is out of range")
        return cls(rate, channels, bits, unsigned=unsigned)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels together."""
        return self.channels * self.bits // 8


@dataclass(frozen=True)
class ContainerFormat:
    """A container whose header describes the audio."""

    #: The allowed containers; empty when no format was declared.
    containers: tuple[str, ...] = ()


AudioFormat = PcmFormat | ContainerFormat


def parse_format(declared: str | None) -> AudioFormat:
    """Read the ``audioFormat`` of a configuration.

    Raises:
        FormatError: unknown type, or a parameter that is malformed, unknown, missing or out of range.
    """
    if declared is None:
        return ContainerFormat()
    kind, *rest = declared.split(";")
    kind = kind.strip().lower()
    parameters: dict[str, str] = {}
    for piece in rest:
        match = _PARAMETER.fullmatch(piece)
        if match is None or match[1].lower() in parameters:
            raise FormatError(f"audioFormat has a malformed parameter: {piece.strip()!r}")
        parameters[match[1].lower()] = match[2].lower()
    if kind == "audio/pcm":
        return _parse_pcm(parameters)
    if kind not in _CONTAINERS:
        raise FormatError(f"unsupported audio format: {declared}")
    codecs = parameters.pop("codecs", None)
    if codecs is not None and (kind not in _CODEC_TYPES or codecs not in _CODECS):
        raise FormatError(f"unsupported audio format: {declared}")
    if parameters:
        raise FormatError(f"unknown audioFormat parameter: {', '.join(parameters)}")
    return ContainerFormat(_CONTAINERS[kind])


def _parse_pcm(parameters: dict[str, str]) -> PcmFormat:
    unknown = [key for key in parameters if key not in _PCM_KEYS]
    if unknown:
        raise FormatError(f"unknown audioFormat parameter: {', '.join(unknown)}")
    rate = _number(parameters, "rate", _RATES)
    channels = _number(parameters, "channels", _CHANNELS)
    bits = _number(parameters, "bits", _BITS)
    endian, encoding = parameters.get("endian", "little"), parameters.get("encoding", "sint")
    if endian not in ("little", "big"):
        raise FormatError("audio/pcm: endian must be little or big")
    if encoding not in ("sint", "uint"):
        raise FormatError("audio/pcm: encoding must be sint or uint")
    return PcmFormat(rate, channels, bits, endian == "big", encoding == "uint")


def _number(parameters: dict[str, str], key: str, allowed: range | tuple[int, ...]) -> int:
    text = parameters.get(key)
    if text is None:
        raise FormatError(f"audio/pcm needs {key}")
    if not text.isascii() or not text.isdigit() or int(text) not in allowed:
        shown = ", ".join(map(str, allowed)) if isinstance(allowed, tuple) else f"{allowed[0]}-{allowed[-1]}"
        raise FormatError(f"audio/pcm: {key} must be one of {shown}")
    return int(text)


def sniff(head: bytes) -> str | None:
    """Return libavformat's name of the container that begins with these bytes, or ``None``.

    As on the service, only the first chunk counts (PROTOCOL.md 5). Raw samples have no header to detect.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    for magic, name in (
        (b"OggS", "ogg"),
        (b"\x1a\x45\xdf\xa3", "matroska"),
        (b"fLaC", "flac"),
        (b"ID3", "mp3"),
    ):
        if head.startswith(magic):
            return name
    if head[4:8] in (b"ftyp", b"styp"):
        return "mp4"
    # An MPEG audio frame: eleven sync bits, then a layer other than 0. AAC in ADTS has layer 0.
    if len(head) > 1 and head[0] == _SYNC and head[1] >= _SYNC_REST and head[1] & _LAYER_MASK:
        return "mp3"
    return None
