"""A job that waits outside of its slot stays the job that was taken in: dated once, told once."""

import json
from pathlib import Path

from tests.system.audio import clip
from tests.system.installation import Installation

JOBS = 3
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_job_that_was_set_aside_counts_its_whole_wait_and_is_received_once(
    installation: Installation, tmp_path: Path
) -> None:
    path, trail = tmp_path / "clip.wav", tmp_path / "audit.jsonl"
    clip(path, 4.0, seed=1)
    # One stream at a time, and one job that waits for it in its slot: the others go aside for 15 s.
    worker = installation.start_worker(slots=2, tenant_streams=1, audit=trail).ready()
    jobs = [installation.job(path, traceparent=TRACE) for _ in range(JOBS)]
    installation.put(*jobs)

    finals = installation.finals(JOBS, timeout=60)

    assert installation.outcomes(finals) == {"completed": JOBS}
    assert worker.metric("corti_jobs_handed_back_total", reason="set_aside") >= 1
    assert worker.metric("corti_door_messages_total", outcome="accepted") == JOBS
    steps = [json.loads(line)["subtype"][0]["code"] for line in trail.read_text().splitlines()]
    assert steps.count("received") == JOBS
    # Of the three waits one is at least as long as it was aside.
    installation.until(lambda: worker.metric("corti_job_wait_seconds_count") == JOBS, 10)
    assert worker.metric("corti_job_wait_seconds_sum") >= 14
    assert {event["traceparent"] for event in finals.values()} == {TRACE}
