"""A job that is set aside and comes back keeps the time of its arrival, and is counted and audited once."""

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
    # One job streams, one waits in its slot for the tenant's only stream; the other two go aside for 15 s.
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
    # The job in its slot waits for about 4 s, the two others for 15 s, and one of them for 4 s more.
    installation.until(lambda: worker.metric("corti_job_wait_seconds_count") == JOBS, 10)
    assert worker.metric("corti_job_wait_seconds_sum") > 34
    assert {event["traceparent"] for event in finals.values()} == {TRACE}
