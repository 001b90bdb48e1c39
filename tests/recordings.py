"""Recordings in every format that a hospital has, made by ffmpeg from the same three sounds."""

import io
import math
import random
import shutil
import struct
import subprocess
import wave
from array import array
from functools import cache
from pathlib import Path
from typing import NamedTuple

import av

RATE = 16_000
#: When the sounds begin; each lasts a second.
ONSETS = (0.5, 2.5, 4.5)
SECONDS = 6.0


class Recipe(NamedTuple):
    """How a file is made, and what becomes of it.

    Attributes:
        name: Of the file; its extension tells ffmpeg the container.
        options: For ffmpeg.
        how: What the worker does with it.
        film: Whether the file has pictures, too.
    """

    name: str
    options: str
    how: str
    film: bool = False


RECIPES = (
    Recipe("s16.wav", "-ar 16000 -c:a pcm_s16le", "as it is"),
    Recipe("u8.wav", "-ar 8000 -c:a pcm_u8", "as it is"),
    Recipe("s24.wav", "-ar 44100 -c:a pcm_s24le", "as it is"),
    Recipe("s32.wav", "-ar 11025 -c:a pcm_s32le", "as it is"),
    Recipe("stereo.wav", "-ar 48000 -ac 2 -c:a pcm_s16le", "as it is"),
    Recipe("5.1.wav", "-ar 16000 -ac 6 -c:a pcm_s16le", "as it is"),
    Recipe("rf64.wav", "-ar 16000 -c:a pcm_s16le -rf64 always", "as it is"),
    Recipe("96k.wav", "-ar 96000 -c:a pcm_s16le", "converted"),
    Recipe("f32.wav", "-ar 16000 -c:a pcm_f32le", "converted"),
    Recipe("f64.wav", "-ar 16000 -ac 2 -c:a pcm_f64le", "converted"),
    Recipe("alaw.wav", "-ar 8000 -c:a pcm_alaw", "converted"),
    Recipe("ulaw.wav", "-ar 8000 -c:a pcm_mulaw", "converted"),
    Recipe("gsm.wav", "-ar 8000 -c:a libgsm_ms", "converted"),
    Recipe("ima.wav", "-ar 16000 -c:a adpcm_ima_wav", "converted"),
    Recipe("w64.w64", "-ar 16000 -c:a pcm_s16le", "converted"),
    Recipe("flac.flac", "-ar 16000", "as it is"),
    Recipe("96k.flac", "-ar 96000", "as it is"),
    Recipe("cbr.mp3", "-b:a 64k", "as it is"),
    Recipe("vbr.mp3", "-q:a 4", "as it is"),
    Recipe("front.m4a", "-movflags +faststart", "as it is"),
    Recipe("fragmented.m4a", "-movflags +frag_keyframe+empty_moov", "as it is"),
    Recipe("behind.m4a", "", "repackaged"),
    Recipe("alac.m4a", "-c:a alac", "converted"),
    Recipe("adts.aac", "", "repackaged"),
    Recipe("phone.3gp", "-c:a aac", "repackaged"),
    Recipe("camera.mov", "-c:a aac", "repackaged", film=True),
    Recipe("camera.mp4", "-c:a aac", "repackaged", film=True),
    Recipe("camera.mkv", "-c:a libopus", "repackaged", film=True),
    Recipe("camera.avi", "-c:a mp3", "repackaged", film=True),
    Recipe("opus.ogg", "-c:a libopus -b:a 24k", "as it is"),
    Recipe("vorbis.ogg", "-c:a libvorbis", "as it is"),
    Recipe("speex.ogg", "-c:a libspeex -ar 16000", "converted"),
    Recipe("opus.webm", "-c:a libopus", "as it is"),
    Recipe("sound.mka", "-c:a flac", "repackaged"),
    Recipe("pcm.caf", "-c:a pcm_s16le", "converted"),
    Recipe("pcm.aiff", "", "converted"),
    Recipe("pcm.au", "", "converted"),
    Recipe("windows.wma", "-c:a wmav2", "converted"),
)


def recipe(name: str) -> Recipe:
    """The recipe of this name."""
    return next(one for one in RECIPES if one.name == name)


def available() -> tuple[bool, str]:
    """Whether ffmpeg is there, and what is missing otherwise."""
    return shutil.which("ffmpeg") is not None, "ffmpeg is not installed (Debian: apt-get install ffmpeg)"


@cache
def sounds() -> bytes:
    """The three sounds as 16-bit samples: no two stretches of them are alike."""
    samples = array("h", bytes(2 * int(RATE * SECONDS)))
    for onset in ONSETS:
        for number in range(RATE):
            at = int(onset * RATE) + number
            samples[at] = round(12_000 * math.sin(0.04 * number + 9e-6 * number * number * (1 + onset)))
    return samples.tobytes()


def make(how: Recipe, folder: Path) -> Path:
    """The file of a recipe, made on first use."""
    path = folder / how.name
    if path.exists():
        return path
    base = folder / "base.wav"
    if not base.exists():
        write_wav(base, sounds())
    pictures = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=5", "-shortest"] if how.film else []
    # The same bytes each time: serial numbers would else be drawn at random.
    run(
        [
            "-i",
            str(base),
            *pictures,
            *how.options.split(),
            "-flags",
            "+bitexact",
            "-fflags",
            "+bitexact",
            str(path),
        ]
    )
    return path


def run(arguments: list[str]) -> bytes:
    """Run ffmpeg; returns what it wrote."""
    command = ["ffmpeg", "-loglevel", "error", "-y", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def write_wav(path: Path, samples: bytes, *, rate: int = RATE, channels: int = 1) -> None:
    """Write 16-bit samples as a WAV file."""
    with wave.open(str(path), "wb") as out:
        out.setframerate(rate)
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.writeframes(samples)


def amr_wb() -> bytes:
    """An AMR-WB file (RFC 4867, section 5). Debian has no encoder: noise and silence, frame by frame."""
    chance = random.Random(1)  # noqa: S311  # noise
    frames = []
    for number in range(int(SECONDS * 50)):
        loud = any(onset <= number / 50 < onset + 1 for onset in ONSETS)
        # Mode 0 has 132 bits of speech; type 15 has none.
        frames.append(b"\x04" + chance.randbytes(17) if loud else b"\x7c")
    return b"#!AMR-WB\n" + b"".join(frames)


def amr_nb() -> bytes:
    """An AMR-NB file, by PyAV: Debian's ffmpeg has no encoder."""
    out = io.BytesIO()
    with av.open(out, mode="w", format="amr") as container:
        stream = container.add_stream("libopencore_amrnb", rate=8000, layout="mono")
        stream.bit_rate = 12_200
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(sounds()) // 2)
        frame.planes[0].update(sounds())
        frame.sample_rate = RATE
        resampler = av.AudioResampler(format="s16", layout="mono", rate=8000, frame_size=160)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return out.getvalue()


def pictured_mp3(mp3: bytes, size: int) -> bytes:
    """The same MP3 file with a picture of so many bytes in front (ID3v2.3)."""
    picture = b"\0image/png\0\3\0" + bytes(size)
    frame = b"APIC" + struct.pack(">IH", len(picture), 0) + picture
    length = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + length + frame + mp3


def unsized_wav(samples: bytes, size: int) -> bytes:
    """A WAV file whose header gives this size instead of the true one."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + form + b"data" + struct.pack("<I", size) + samples
