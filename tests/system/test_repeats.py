"""The same job on the queue more than once: one stream, one interaction, one result."""

from pathlib import Path

from tests.system.audio import clip
from tests.system.installation import Installation


def test_a_job_put_on_the_queue_three_times_at_once_and_again_afterwards_runs_once(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    clip(path, 6.0, seed=1)
    job = installation.job(path)
    worker = installation.start_worker(lease=3).ready()
    installation.put(job, job, job)

    finals = installation.finals(1, timeout=30)
    installation.put(job)
    installation.until(lambda: worker.metric("corti_jobs_repeated_total", outcome="dropped") >= 2, 45)
    installation.no_more_finals(2)

    assert installation.outcomes(finals) == {"completed": 1}
    assert finals[job["job_id"]]["data"]["attempts"] == 1
    stats = installation.sandbox.stats(summary=True)
    assert stats["interactions_created"] == stats["sockets_opened"] == 1


def test_a_repeat_is_answered_with_the_stored_result_when_that_is_asked_for(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    clip(path, 2.0, seed=1)
    job = installation.job(path, pace=4, metadata={"n": 1})
    installation.start_worker(on_repeat="republish").ready()
    installation.put(job)
    first = installation.finals(1, timeout=30)
    installation.put(job)

    again = installation.finals(1, timeout=30)

    assert again == first
    assert installation.sandbox.stats(summary=True)["sockets_opened"] == 1


def test_a_job_longer_than_the_visibility_timeout_is_streamed_once(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    clip(path, 20.0, seed=1)
    installation.start_worker(visibility_timeout=6, lease=6).ready()
    installation.start_worker(visibility_timeout=6, lease=6).ready()
    installation.put(installation.job(path))

    finals = installation.finals(1, timeout=60)
    installation.no_more_finals(3)

    assert installation.outcomes(finals) == {"completed": 1}
    assert len(installation.streams()) == 1


def test_an_interaction_whose_create_answer_got_lost_is_found_again(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    clip(path, 2.0, seed=1)
    installation.sandbox.fault("lost_create", count=1)
    installation.start_worker().ready()
    job = installation.job(path, pace=4, encounter={"identifier": "visit 7"})
    installation.put(job)

    finals = installation.finals(1, timeout=30)

    assert installation.outcomes(finals) == {"completed": 1}
    assert finals[job["job_id"]]["data"]["attempts"] == 1
    assert installation.sandbox.stats(summary=True)["interactions_created"] == 1


def test_an_encounter_identifier_that_another_job_has_used_is_refused(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    clip(path, 1.0, seed=1)
    installation.start_worker().ready()
    first = installation.job(path, pace=4, encounter={"identifier": "visit 7"})
    second = installation.job(path, pace=4, encounter={"identifier": "visit 7"})
    installation.put(first)
    installation.finals(1, timeout=30)
    installation.put(second)

    finals = installation.finals(1, timeout=30)

    assert installation.outcomes(finals) == {"duplicate_encounter": 1}
