"""A worker dies in mid-stream: another worker takes every job over, and no job has two results."""

import signal
import time
from pathlib import Path

from tests.system.audio import clip
from tests.system.installation import HERE, Installation

JOBS, LEASE, BOUND = 20, 10, 15.0


def test_jobs_of_a_killed_worker_are_taken_over_and_end_once(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    sha256 = clip(path, 12.0, seed=1)
    jobs = [installation.job(path) for _ in range(JOBS)]
    first = installation.start_worker(lease=LEASE, visibility_timeout=LEASE).ready()
    installation.put(*jobs)
    installation.wait_for_streams(JOBS)
    # The second worker starts after the first was killed: on a busy machine the jobs could otherwise end
    # before it is ready.
    first.kill()
    survivor = installation.start_worker(lease=LEASE, visibility_timeout=LEASE).ready()
    ready_at = time.monotonic()

    finals = installation.finals(JOBS, timeout=90)
    installation.no_more_finals(3)

    assert installation.outcomes(finals) == {"completed": JOBS}
    second = [record for record in installation.streams() if record["stream_number"] == 2]
    assert len(second) == JOBS
    assert all(record["sha256"] == sha256 for record in second)
    delays = sorted(record["first_audio_at"] - ready_at for record in second)
    print(
        f"\n{installation.broker}: takeover of {JOBS} jobs, first audio after the survivor was ready: median "
        f"{delays[JOBS // 2]:.1f} s, slowest {delays[-1]:.1f} s (lease {LEASE} s)"
    )
    assert delays[-1] <= BOUND
    stats = installation.sandbox.stats(summary=True)
    assert stats["interactions_created"] == JOBS
    assert stats["overlaps"] == 0
    assert {event["data"]["attempts"] for event in finals.values()} == {2}
    assert survivor.metric("corti_claims_total", outcome="taken_over") == JOBS


def test_a_job_whose_workers_keep_dying_ends_as_a_dead_letter(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    clip(path, 30.0, seed=1)
    poison = installation.job(path)
    installation.put(poison)
    for _ in range(2):
        victim = installation.start_worker(lease=4, visibility_timeout=4, attempts=2).ready()
        installation.wait_for_streams(1)
        victim.kill()
        installation.until(lambda: not installation.open_streams(), 10)
    installation.start_worker(lease=4, visibility_timeout=4, attempts=2).ready()

    finals = installation.finals(1, timeout=30)
    letters = installation.dead(1, timeout=10)

    assert installation.outcomes(finals) == {"attempts_exhausted": 1}
    assert [letter["job_id"] for letter in letters] == [poison["job_id"]]
    assert len(installation.streams()) == 2


def test_a_worker_that_was_frozen_beyond_its_lease_publishes_nothing_twice(
    installation: Installation, tmp_path: Path
) -> None:
    """When the frozen worker goes on, it holds jobs that another worker has meanwhile taken over."""
    path = tmp_path / "long.wav"
    clip(path, 12.0, seed=1)
    jobs = [installation.job(path) for _ in range(5)]
    frozen = installation.start_worker(lease=4, visibility_timeout=4).ready()
    installation.put(*jobs)
    installation.wait_for_streams(5)
    frozen.process.send_signal(signal.SIGSTOP)
    installation.start_worker(lease=4, visibility_timeout=4).ready()
    time.sleep(10)
    frozen.process.send_signal(signal.SIGCONT)

    finals = installation.finals(5, timeout=60)
    installation.no_more_finals(8)

    assert installation.outcomes(finals) == {"completed": 5}
    assert frozen.process.poll() is None
    if installation.broker == "redis":  # RabbitMQ keeps a frozen consumer's deliveries for it
        assert frozen.metric("corti_jobs_handed_back_total", reason="claim_lost") == 5


def test_a_job_on_its_way_to_a_worker_that_dies_is_not_lost(
    installation: Installation, tmp_path: Path
) -> None:
    """The broker has sent the jobs to a stopped worker, which dies before it has read them."""
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    installation.start_door(HERE).ready()
    dying = installation.start_worker(lease=4, visibility_timeout=4, door="false").ready()
    dying.process.send_signal(signal.SIGSTOP)
    installation.put(*(installation.job(path, pace=4) for _ in range(3)))
    time.sleep(2)
    dying.kill()
    installation.start_worker(lease=4, visibility_timeout=4, door="false").ready()

    finals = installation.finals(3, timeout=40)

    assert installation.outcomes(finals) == {"completed": 3}
