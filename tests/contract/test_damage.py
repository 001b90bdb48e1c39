"""Damaged recordings: what can be read is sent, at the right times; what cannot be read at all is refused."""

import io
import random
import subprocess
from pathlib import Path

import av
import pytest

from tests.recordings import ONSETS, SECONDS, make, recipe
from tests.unit.audio.reading import Heard, hear, onsets
from worker.audio.media.passing import Damaged
from worker.contract.errors import PermanentError, Reason

NAMES = ("s16.wav", "flac.flac", "cbr.mp3", "front.m4a", "opus.ogg", "opus.webm")
#: Reasons with which a file may be refused of which hardly anything is left.
_HOPELESS = {
    Reason.AUDIO_EMPTY,
    Reason.AUDIO_NO_SOUND,
    Reason.AUDIO_TOO_SHORT,
    Reason.AUDIO_TRUNCATED,
    Reason.AUDIO_UNSUPPORTED,
}


def truncated(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, len(data))]


def flipped(data: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(50):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def hear_damaged(data: bytes, name: str, *, known_size: bool) -> Heard:
    """As a job does: what cannot go out as it is, is converted."""
    try:
        return hear(data, known_size=known_size, name=name)
    except Damaged:
        return hear(data, known_size=known_size, name=name, convert=True)


def offset_at(data: bytes, seconds: float) -> int:
    """Where the packets of a time are."""
    with av.open(io.BytesIO(data)) as container:
        for packet in container.demux(audio=0):
            if packet.pts is not None and packet.pts * packet.time_base >= seconds:
                return int(packet.pos or 0)
    raise AssertionError("the file is shorter")


def decodable_seconds(path: Path) -> float:
    """How much of a file ffmpeg decodes."""
    command = ["ffmpeg", "-loglevel", "quiet", "-i", str(path), "-f", "s16le", "-ar", "8000", "-ac", "1", "-"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    return len(done.stdout) / 16_000


@pytest.mark.parametrize("known_size", [True, False], ids=["at will", "in order"])
@pytest.mark.parametrize("damage", [truncated, flipped])
@pytest.mark.parametrize("name", NAMES)
def test_fifty_damaged_files_are_heard_as_far_as_they_can_be_read(
    shelf: Path, tmp_path: Path, name: str, damage: object, *, known_size: bool
) -> None:
    whole = make(recipe(name), shelf).read_bytes()
    heard = refused = 0
    for seed in range(50):
        data = damage(whole, random.Random(f"{name} {seed}"))  # type: ignore[operator]  # noqa: S311
        try:
            result = hear_damaged(data, name, known_size=known_size)
        except PermanentError as error:
            refusal = error
        else:
            heard += 1
            assert result.seconds <= SECONDS + 0.7
            continue
        assert refusal.reason in _HOPELESS
        path = tmp_path / name
        path.write_bytes(data)
        refused += decodable_seconds(path) > SECONDS / 2
    # libav gives up on an MP4 index of billions of entries; an older ffmpeg guessed better.
    assert refused <= (2 if name == "front.m4a" else 0)
    assert heard > 10 or name == "opus.ogg", "a file of 12 kB with 50 flipped bits has no whole page left"


@pytest.mark.parametrize("name", ["flac.flac", "opus.ogg", "cbr.mp3"])
def test_damage_in_the_middle_costs_the_damaged_part_and_the_clock_stays_right(
    shelf: Path, name: str
) -> None:
    data = bytearray(make(recipe(name), shelf).read_bytes())
    # Between the first sound and the second.
    begin, end = offset_at(bytes(data), 1.7), offset_at(bytes(data), 2.2)
    data[begin:end] = random.Random(1).randbytes(end - begin)  # noqa: S311
    result = hear_damaged(bytes(data), name, known_size=True)
    assert result.sent_format.endswith("(converted)")
    assert [pytest.approx(onset, abs=0.3) for onset in ONSETS[1:]] == onsets(result)[-2:]
    (warning,) = result.warnings
    assert "damaged, and silence was sent in their place" in warning


def test_a_wrong_time_stamp_is_no_gap(shelf: Path) -> None:
    """One flipped bit in a time stamp does not shift what follows."""
    data = make(recipe("opus.webm"), shelf).read_bytes()
    at = data.index(b"\xa3", len(data) // 2)
    result = None
    for offset in range(at, len(data) - 8):
        # A block: its id, its size, the track, then 16 bits of time.
        if data[offset] == 0xA3 and data[offset + 2] == 0x81 and data[offset + 1] & 0x80:
            wrong = bytearray(data)
            wrong[offset + 3] ^= 0x10
            result = hear(bytes(wrong), known_size=True)
            break
    assert result is not None
    assert result.seconds == pytest.approx(SECONDS, abs=0.2)
