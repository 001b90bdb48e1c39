"""Converts lines.json to speech and writes consultation.wav, consultation.ogg and dialogue.json.

Run it after a change of lines.json, on a machine with espeak-ng:

    .venv/bin/python -m ops.sample.make_sample

The output is reproducible with the same versions of espeak-ng and PyAV.
"""

import io
import json
import subprocess
import sys
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

HERE = Path(__file__).parent
RATE = 16_000
SAMPLE_BYTES = 2
GAP_S = 0.7
EDGE_S = 0.3
# espeak-ng adds samples up to this absolute value before and after a line; they are cut off.
QUIET = 200
# Voice (-v), words per minute (-s) and pitch (-p) of two speakers that diarisation can distinguish.
VOICES = {
    "doctor": ["-v", "en-us", "-s", "165", "-p", "40"],
    "patient": ["-v", "en-us+f3", "-s", "160", "-p", "62"],
}


def main() -> int:
    """Write the three files into this module's directory; return the exit code."""
    script = json.loads((HERE / "lines.json").read_text())
    pcm = bytearray(silence(EDGE_S))
    lines: list[dict[str, Any]] = []
    for line in script["lines"]:
        spoken = trimmed(spoken_at_rate(speak(line["text"], line["speaker"])))
        start = len(pcm) / (RATE * SAMPLE_BYTES)
        pcm += spoken
        end = len(pcm) / (RATE * SAMPLE_BYTES)
        times = {"start": round(start, 3), "end": round(end, 3)}
        lines.append(times | {"speaker": line["speaker"], "channel": 0} | line)
        pcm += silence(GAP_S)
    pcm = pcm[: len(pcm) - len(silence(GAP_S))] + silence(EDGE_S)
    if any(one["end"] >= following["start"] for one, following in pairwise(lines)):
        raise AssertionError("lines overlap: check `trimmed`")
    write_wav(HERE / "consultation.wav", bytes(pcm))
    write_ogg(HERE / "consultation.ogg", bytes(pcm))
    dialogue = {"language": script["language"], "lines": lines}
    (HERE / "dialogue.json").write_text(json.dumps(dialogue, indent=2) + "\n")
    print(f"{len(lines)} lines, {len(pcm) / (RATE * SAMPLE_BYTES):.1f} s", file=sys.stderr)
    return 0


def speak(text: str, speaker: str) -> bytes:
    """Convert a text to speech; return a WAV file with espeak-ng's sample rate."""
    command = ["espeak-ng", *VOICES[speaker], "--stdout", text]
    try:
        return subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise SystemExit("espeak-ng is missing: on Debian run `apt-get install espeak-ng`") from None


def spoken_at_rate(wav: bytes) -> bytes:
    """Convert a WAV file to mono 16-bit little-endian PCM at `RATE`."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    pcm = bytearray()
    with av.open(io.BytesIO(wav), "r", format="wav") as container:
        for frame in [*container.decode(audio=0), None]:
            for part in resampler.resample(frame):
                pcm += bytes(part.planes[0])[: part.samples * SAMPLE_BYTES]
    return bytes(pcm)


def trimmed(pcm: bytes) -> bytes:
    """Cut off the quiet samples at both ends of 16-bit PCM."""
    samples = memoryview(pcm).cast("h")
    loud = [index for index, sample in enumerate(samples) if abs(sample) > QUIET]
    return samples[loud[0] : loud[-1] + 1].tobytes()


def silence(seconds: float) -> bytes:
    """Return 16-bit PCM of this length with all samples 0."""
    return bytes(round(seconds * RATE) * SAMPLE_BYTES)


def write_wav(path: Path, pcm: bytes) -> None:
    """Write mono 16-bit PCM at `RATE` as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(RATE)
        file.writeframes(pcm)


def write_ogg(path: Path, pcm: bytes) -> None:
    """Write mono 16-bit PCM at `RATE` as Opus in an Ogg container."""
    # Without bitexact the stream gets a random serial number and the bytes differ in every run.
    with av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = 24_000
        stream.options = {"application": "voip"}
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // SAMPLE_BYTES)
        frame.sample_rate = RATE
        frame.planes[0].update(pcm)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


if __name__ == "__main__":
    sys.exit(main())
