"""Recordings as hospitals have them, through a real worker and the sandbox."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests import recordings
from tests.conftest import require
from tests.recordings import ONSETS, make, recipe
from tests.system.installation import Installation


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(*recordings.available())
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture
def folder(shelf: Path, tmp_path: Path) -> Path:
    """The recordings of these tests, where the worker may read."""
    for name in "behind.m4a", "ulaw.wav", "camera.mp4", "flac.flac", "s16.wav":
        (tmp_path / name).write_bytes(make(recipe(name), shelf).read_bytes())
    return tmp_path


def starts(final: dict[str, Any]) -> list[Any]:
    assert final["type"] == "corti.job.completed.v1", final["data"]
    return [segment["start"] for segment in final["data"]["segments"]]


def test_a_phones_recording_telephony_and_a_film_are_transcribed_at_the_right_times(
    installation: Installation, folder: Path
) -> None:
    installation.start_worker().ready()
    jobs = [installation.job(folder / name, pace=4) for name in ("behind.m4a", "ulaw.wav", "camera.mp4")]
    installation.put(*jobs)

    finals = installation.finals(3, timeout=40)

    for job, how in zip(jobs, ("repackaged", "converted", "repackaged"), strict=True):
        final = finals[job["job_id"]]
        assert starts(final) == [pytest.approx(onset, abs=0.3) for onset in ONSETS]
        assert final["data"]["audio"]["sent_format"].endswith(f"({how})")


def test_a_recording_that_turns_out_to_be_damaged_is_converted_by_the_next_attempt(
    installation: Installation, folder: Path
) -> None:
    data = bytearray((folder / "flac.flac").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = random.Random(1).randbytes(400)  # noqa: S311
    (folder / "damaged.flac").write_bytes(data)
    installation.start_worker().ready()
    job = installation.job(folder / "damaged.flac", pace=10)
    installation.put(job)

    final = installation.finals(1, timeout=40)[job["job_id"]]

    assert starts(final)[-1] == pytest.approx(ONSETS[-1], abs=0.3)
    assert final["data"]["attempts"] == 2
    assert any("silence was sent in their place" in warning for warning in final["data"]["warnings"])
    assert len({stream["interaction_id"] for stream in installation.streams()}) == 1


def test_what_cannot_be_transcribed_is_refused_before_anything_is_created(
    installation: Installation, folder: Path
) -> None:
    (folder / "empty.wav").write_bytes(b"")
    (folder / "junk.mp3").write_bytes(random.Random(1).randbytes(5000))  # noqa: S311
    (folder / "cut.m4a").write_bytes((folder / "behind.m4a").read_bytes()[:9000])
    (folder / "cut.wav").write_bytes((folder / "s16.wav").read_bytes()[:90_000])
    installation.start_worker().ready()
    refused = {
        "empty.wav": "audio_empty",
        "junk.mp3": "audio_unsupported",
        "cut.m4a": "audio_unsupported",
        "cut.wav": "audio_truncated",
        "s16.wav": "audio_channels",
    }
    jobs = {name: installation.job(folder / name, pace=4) for name in refused}
    jobs["cut.wav"]["audio"]["when_truncated"] = "refuse"
    jobs["s16.wav"]["transcription"]["multichannel"] = True
    installation.put(*jobs.values())

    finals = installation.finals(len(jobs), timeout=40)

    assert {name: finals[job["job_id"]]["data"]["reason"] for name, job in jobs.items()} == refused
    assert all(final["data"]["interaction_id"] is None for final in finals.values())
    assert installation.streams() == []
