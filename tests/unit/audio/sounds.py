"""Generated audio: WAV files by the standard library and by hand, containers by PyAV."""

import io
import math
import struct
import wave
from collections.abc import Iterator
from functools import cache

import av

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
PCM_GUID = struct.pack("<H", PCM) + bytes.fromhex("000000001000800000aa00389b71")


def wav_file(samples: bytes, *, rate: int = 16_000, channels: int = 1, bits: int = 16) -> bytes:
    """A WAV file as the standard library writes it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setframerate(rate)
        out.setnchannels(channels)
        out.setsampwidth(bits // 8)
        out.writeframes(samples)
    return file.getvalue()


def riff_chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    """A chunk of a RIFF file, padded to an even length; its size field may be wrong."""
    return struct.pack("<4sI", name, len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def fmt(
    tag: int = PCM,
    channels: int = 1,
    rate: int = 16_000,
    bits: int = 16,
    extra: bytes = b"",
    align: int | None = None,
) -> bytes:
    """A format chunk."""
    width = channels * bits // 8 if align is None else align
    return riff_chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits) + extra)


def extension(tag: int = PCM, *, bits: int = 16) -> bytes:
    """The fields that WAVE_FORMAT_EXTENSIBLE adds to a format chunk."""
    return struct.pack("<HHI", 22, bits, 3) + struct.pack("<H", tag) + PCM_GUID[2:]


def riff(*chunks: bytes, magic: bytes = b"RIFF") -> bytes:
    """A RIFF file of these chunks."""
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body)) + body


def tone(seconds: float, rate: int = 16_000) -> bytes:
    """Samples that rise in pitch, 16 bits, one channel."""
    count = int(seconds * rate)
    return struct.pack(f"<{count}h", *(int(9000 * math.sin(i * i / 40_000)) for i in range(count)))


#: How each container is made: PyAV's names of format and codec, the rate, and options.
#: At low rates the silence that MP3 adds at both ends would be longer than the tests allow.
CONTAINERS: dict[str, tuple[str, str, int, dict[str, str]]] = {
    "audio/ogg": ("ogg", "libopus", 16_000, {}),
    "audio/webm": ("webm", "libopus", 16_000, {}),
    "audio/mpeg": ("mp3", "libmp3lame", 48_000, {}),
    "audio/flac": ("flac", "flac", 16_000, {}),
    "audio/mp4": ("mp4", "aac", 16_000, {"movflags": "frag_keyframe+empty_moov"}),
}


@cache
def encoded(media_type: str) -> bytes:
    """A container of this type that lasts 1.3 s."""
    name, codec, rate, options = CONTAINERS[media_type]
    return encode(name, codec, rate, options, 1.3)


def encode(
    name: str,
    codec: str,
    rate: int,
    options: dict[str, str],
    seconds: float,
    *,
    begin: float = 0.0,
    title: str = "",
) -> bytes:
    """A container with one stream of audio, whose time stamps begin at `begin`."""
    samples = tone(seconds)
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
    frame.planes[0].update(samples)
    frame.sample_rate, frame.pts = 16_000, int(begin * 16_000)
    file = io.BytesIO()
    with av.open(file, "w", format=name, options=options) as out:
        if title:
            out.metadata["title"] = title
        stream = out.add_stream(codec, rate=rate)
        stream.layout = "mono"
        context = stream.codec_context
        resampler = av.AudioResampler(
            format=context.format, layout="mono", rate=rate, frame_size=context.frame_size
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


def pictures() -> bytes:
    """A container with one picture and no sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("mpeg4", rate=1)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        out.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        out.mux(stream.encode(None))
    return file.getvalue()


def blocks(data: bytes, size: int = 1000) -> Iterator[bytes]:
    """The bytes in blocks, as a download brings them."""
    return (data[at : at + size] for at in range(0, len(data), size))
