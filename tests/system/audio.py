"""Audio for tests: speech-like bursts of noise with pauses, different for each seed."""

import array
import hashlib
import random
import wave
from pathlib import Path

RATE = 16_000


def clip(path: Path, seconds: float, seed: int) -> str:
    """Write a WAV file of bursts (0.7 s) and pauses (0.3 s).

    Returns:
        SHA-256 of the samples: of the bytes that the service receives when the file is sent as PCM.
    """
    noise = random.Random(seed)  # noqa: S311
    burst = array.array("h", (noise.randint(-9000, 9000) for _ in range(int(RATE * 0.7))))
    pause = array.array("h", bytes(2 * int(RATE * 0.3)))
    samples = (burst + pause) * int(seconds + 1)
    data = samples[: int(RATE * seconds)].tobytes()
    _write(path, data, channels=1)
    return hashlib.sha256(data).hexdigest()


def stereo(path: Path, who: str) -> None:
    """Write a WAV file of two channels: a second of noise and one of silence for each letter.

    Args:
        path: Where to.
        who: `L` for noise on the left channel, `R` on the right one, `-` on none.
    """
    noise = random.Random(1)  # noqa: S311
    samples = array.array("h")
    for side in who:
        for _ in range(RATE):
            sound = noise.randint(-9000, 9000)
            samples.extend((sound if side == "L" else 0, sound if side == "R" else 0))
        samples.extend([0] * (2 * RATE))
    _write(path, samples.tobytes(), channels=2)


def _write(path: Path, data: bytes, channels: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(data)
