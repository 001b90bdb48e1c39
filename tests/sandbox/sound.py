"""Make sounds with known bounds, and put them into containers."""

from __future__ import annotations

import io
import math
import random
from array import array
from typing import Any

import av

RATE = 16_000
PCM = f"audio/pcm; rate={RATE}; channels=1; bits=16"


def tone(seconds: float, *, rate: int = RATE, hertz: float = 440.0, peak: int = 8000) -> array[int]:
    """A steady tone, which counts as speech."""
    return array(
        "h", (round(peak * math.sin(2 * math.pi * hertz * n / rate)) for n in range(int(seconds * rate)))
    )


def noise(seconds: float, *, rate: int = RATE, peak: int = 8000, seed: int = 1) -> array[int]:
    """White noise, loud or soft."""
    source = random.Random(seed)  # noqa: S311 -- noise
    return array("h", (source.randint(-peak, peak) for _ in range(int(seconds * rate))))


def silence(seconds: float, *, rate: int = RATE) -> array[int]:
    """Silence: samples of zero."""
    return array("h", bytes(2 * int(seconds * rate)))


def interleave(*channels: array[int]) -> array[int]:
    """One stream of several channels of the same length."""
    mixed = array("h", bytes(2 * sum(map(len, channels))))
    for number, channel in enumerate(channels):
        mixed[number :: len(channels)] = channel
    return mixed


def chunks(data: bytes, size: int = 8000) -> list[bytes]:
    """Pieces of 250 ms, as the protocol advises."""
    return [data[at : at + size] for at in range(0, len(data), size)]


class _OneWay(io.BytesIO):
    """An output that a muxer can write to but not seek in, as a network stream."""

    def seekable(self) -> bool:
        return False


def encode(samples: array[int], container: str, codec: str, *, channels: int = 1) -> bytes:
    """Put samples into a container as a live encoder would write it."""
    out = _OneWay() if container == "mp4" else io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"} if container == "mp4" else {}
    target: Any
    layout = "mono" if channels == 1 else "stereo"
    with av.open(out, mode="w", format=container, options=options) as target:
        rate = 48_000 if codec == "libopus" else RATE
        stream = target.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame(format="s16", layout=layout, samples=len(samples) // channels)
        frame.sample_rate = RATE
        frame.planes[0].update(samples.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
        resampler = av.AudioResampler(
            format=stream.codec_context.format.name,
            layout=layout,
            rate=rate,
            frame_size=stream.codec_context.frame_size or None,
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    return out.getvalue()
