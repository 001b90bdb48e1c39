"""Hosts whose clocks disagree: no running job is given to another worker, and a dead worker's jobs are."""

import time
from pathlib import Path

import pytest

from ops.lib.worker_process import WorkerProcess
from tests.system.audio import clip
from tests.system.installation import Installation

LEASE, BOUND = 10, 15.0


def start_skewed(installation: Installation, skew: float) -> WorkerProcess:
    """Start a worker whose wall clock is wrong by so many seconds."""
    settings = {"LEASE": LEASE, "VISIBILITY_TIMEOUT": LEASE}
    return installation.join(
        WorkerProcess(
            {
                **installation.settings,
                **{f"CORTI_WORKER_{name}": str(value) for name, value in settings.items()},
                "SOAK_CLOCK_SKEW": str(skew),
            },
            installation.folder / f"skewed-{len(installation.workers)}.log",
            module="ops.soak.skewed_worker",
        )
    ).ready()


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.parametrize("skew", [600, -600])
def test_a_wrong_clock_takes_no_running_job_away(
    installation: Installation, tmp_path: Path, skew: float
) -> None:
    path = tmp_path / "long.wav"
    clip(path, 20.0, seed=1)
    jobs = [installation.job(path) for _ in range(3)]
    right = installation.start_worker(lease=LEASE, visibility_timeout=LEASE).ready()
    installation.put(*jobs)
    installation.wait_for_streams(3)
    wrong = start_skewed(installation, skew)
    more = [installation.job(path) for _ in range(3)]
    installation.put(*more)
    installation.wait_for_streams(6)
    time.sleep(6)
    # A worker that gets a delivery whose job runs elsewhere finds the claim taken and counts it as `busy`.
    busy = [one.metric("corti_claims_total", outcome="busy") for one in (right, wrong)]
    finals = installation.finals(6, timeout=60)
    installation.no_more_finals(2)
    assert installation.outcomes(finals) == {"completed": 6}
    assert {event["data"]["attempts"] for event in finals.values()} == {1}
    assert busy == [0, 0], "the delivery of a running job was given to another worker"


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.parametrize("skew", [600, -600])
def test_the_jobs_of_a_dead_worker_with_a_wrong_clock_are_taken_over_in_time(
    installation: Installation, tmp_path: Path, skew: float
) -> None:
    path = tmp_path / "long.wav"
    clip(path, 12.0, seed=1)
    jobs = [installation.job(path) for _ in range(3)]
    wrong = start_skewed(installation, skew)
    installation.put(*jobs)
    installation.wait_for_streams(3)
    wrong.kill()
    installation.start_worker(lease=LEASE, visibility_timeout=LEASE).ready()
    ready_at = time.monotonic()
    finals = installation.finals(3, timeout=60)
    assert installation.outcomes(finals) == {"completed": 3}
    second = [record for record in installation.streams() if record["stream_number"] == 2]
    assert len(second) == 3
    assert max(record["first_audio_at"] - ready_at for record in second) <= BOUND + 5
