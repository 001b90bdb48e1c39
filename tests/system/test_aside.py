"""A job that waits outside of its slot stays the job that was taken in: dated once, told once."""

import json
from pathlib import Path

from tests.system.audio import clip
from tests.system.installation import Installation

JOBS = 4
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_job_that_was_set_aside_counts_its_whole_wait_and_is_received_once(
    installation: Installation, tmp_path: Path
) -> None:
    path, trail = tmp_path / "clip.wav", tmp_path / "audit.jsonl"
    clip(path, 4.0, seed=1)
    other = tmp_path / "tenants" / "clinic"
    other.mkdir(parents=True)
    for name in "client-id", "client-secret":
        (other / name).write_text("unused")
    # One stream at a time, and one job that waits for it in its slot: the two others go aside for 15 s.
    worker = installation.start_worker(
        slots=4, tenant_streams=1, tenants_dir=other.parent, audit=trail
    ).ready()
    jobs = [installation.job(path, traceparent=TRACE) for _ in range(JOBS)]
    installation.put(*jobs)

    finals = installation.finals(JOBS, timeout=90)

    assert installation.outcomes(finals) == {"completed": JOBS}
    assert worker.metric("corti_jobs_handed_back_total", reason="set_aside") >= 1
    assert worker.metric("corti_door_messages_total", outcome="accepted") == JOBS
    steps = [json.loads(line)["subtype"][0]["code"] for line in trail.read_text().splitlines()]
    assert steps.count("received") == JOBS
    # About 4 s of the job in its slot, and of the two others 15 s, and 4 s more of one.
    installation.until(lambda: worker.metric("corti_job_wait_seconds_count") == JOBS, 10)
    assert worker.metric("corti_job_wait_seconds_sum") > 34
    assert {event["traceparent"] for event in finals.values()} == {TRACE}
