"""The body of the request that creates a job's interaction."""

import json

import pytest

from tests.unit.examples import FULL, job
from worker.contract.job import Job
from worker.corti.rest.interactions import interaction_body


def test_the_smallest_job_sends_only_what_the_service_requires() -> None:
    assert interaction_body(job()) == {
        "encounter": {"identifier": "visit-17", "status": "planned", "type": "consultation"}
    }


def test_a_full_job_sends_everything_with_times_in_utc() -> None:
    assert interaction_body(Job.from_message(json.dumps(FULL).encode())) == {
        "assignedUserId": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
        "encounter": {
            "identifier": "enc-17",
            "status": "in-progress",
            "type": "first_consultation",
            "period": {"startedAt": "2026-03-01T08:00:00Z", "endedAt": "2026-03-01T09:30:00Z"},
            "title": "Knee",
        },
        "patient": {
            "identifier": "p-4",
            "name": "Ada Example",
            "gender": "female",
            "birthDate": "1971-02-03",
            "pronouns": "she/her",
        },
    }


def test_absent_keys_are_left_out_at_every_depth() -> None:
    sparse = job(
        patient={"identifier": "p-4"}, encounter={"period": {"started_at": "2026-03-01T09:00:00.25Z"}}
    )
    body = interaction_body(sparse)
    assert body["patient"] == {"identifier": "p-4"}
    assert body["encounter"]["period"] == {"startedAt": "2026-03-01T09:00:00.250000Z"}


@pytest.mark.parametrize("started_at", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_period_at_the_end_of_time_is_no_reason_to_break(started_at: str) -> None:
    body = interaction_body(job(encounter={"period": {"started_at": started_at}}))
    assert body["encounter"]["period"]["startedAt"] == started_at
