"""The `Interactions` port: the fake, the sandbox over TLS, and servers that behave badly."""

import socket
from typing import Any

import pytest

from ops.sandbox.launch import Sandbox
from tests.contract.benches import Bench, SandboxBench, StoryBench
from tests.contract.corti_side import PATIENT, CortiSide, as_token, corti_side, creation_failure, make_job
from worker.contract.errors import JobError, PermanentError, Reason, TokenRefused, TransientError
from worker.telemetry import catalogue


@pytest.fixture(params=["story", "sandbox"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "story":
        return StoryBench()
    return SandboxBench(request.getfixturevalue("side"))


def test_each_job_gets_an_interaction_with_a_url_to_stream_to(bench: Bench) -> None:
    made = [bench.interactions.create(make_job(), bench.token) for _ in range(2)]
    assert made[0].id != made[1].id
    for interaction in made:
        assert interaction.stream_url.startswith("wss://")
        assert interaction.id in interaction.stream_url
        assert bench.token.value not in interaction.stream_url


def test_a_second_interaction_of_an_encounter_is_a_duplicate(bench: Bench) -> None:
    job = make_job()
    bench.interactions.create(job, bench.token)
    error = creation_failure(bench.interactions, bench.token, job_id=job.job_id)
    assert isinstance(error, PermanentError)
    assert error.reason is Reason.DUPLICATE_ENCOUNTER


def test_a_revoked_token_is_refused(bench: Bench) -> None:
    bench.revoke()
    assert isinstance(creation_failure(bench.interactions, bench.token), TokenRefused)


def test_the_job_arrives_as_it_was_given(side: CortiSide) -> None:
    job = make_job(
        encounter={
            "identifier": "visit 7",
            "status": "completed",
            "type": "emergency",
            "title": "Sore throat",
            "period": {"started_at": "2026-05-04T10:00:00+02:00", "ended_at": "2026-05-04T10:30:00+02:00"},
        },
        patient={"identifier": PATIENT, "gender": "female", "birth_date": "1815-12-10"},
        assigned_user_id="8a6bd9a2-35f4-4e76-8a3f-6f2cbd8a4c11",
    )
    token = side.token()
    made = side.interactions().create(job, token)
    headers = {"Authorization": f"Bearer {token.value}", "Tenant-Name": "base"}
    item = side.session.get(f"{side.urls.api_url}/interactions/{made.id}", headers=headers, timeout=5).json()
    assert item["encounter"] == {
        "identifier": "visit 7",
        "status": "completed",
        "type": "emergency",
        "title": "Sore throat",
        "period": {"startedAt": "2026-05-04T08:00:00Z", "endedAt": "2026-05-04T08:30:00Z"},
    }
    assert (item["patient"]["identifier"], item["patient"]["gender"]) == (PATIENT, "female")
    assert item["assignedUserId"] == "8a6bd9a2-35f4-4e76-8a3f-6f2cbd8a4c11"


def test_another_customers_tenant_is_forbidden(side: CortiSide) -> None:
    error = creation_failure(side.interactions(tenant="other"), side.token())
    assert isinstance(error, PermanentError)
    assert error.reason is Reason.FORBIDDEN


@pytest.mark.parametrize(
    ("fault", "kind", "reason", "retry_after"),
    [
        ({"name": "api_error", "status": 400}, PermanentError, Reason.INTERACTION_REFUSED, None),
        ({"name": "api_error", "status": 403}, PermanentError, Reason.FORBIDDEN, None),
        ({"name": "api_error", "status": 408}, TransientError, Reason.UPSTREAM_UNAVAILABLE, None),
        ({"name": "api_error", "status": 500}, TransientError, Reason.UPSTREAM_UNAVAILABLE, None),
        (
            {"name": "api_error", "status": 503, "retry_after": 9},
            TransientError,
            Reason.UPSTREAM_UNAVAILABLE,
            9.0,
        ),
        ({"name": "api_cut"}, TransientError, Reason.UPSTREAM_UNAVAILABLE, None),
        ({"name": "rate_limit", "retry_after": 4}, TransientError, Reason.RATE_LIMITED, 4.0),
        ({"name": "quota"}, PermanentError, Reason.QUOTA_EXHAUSTED, None),
        ({"name": "lost_create"}, TransientError, Reason.UPSTREAM_UNAVAILABLE, None),
        ({"name": "lost_create", "how": "cut"}, TransientError, Reason.UPSTREAM_UNAVAILABLE, None),
    ],
    ids=str,
)
def test_each_refusal_has_its_meaning(
    sandbox: Sandbox,
    side: CortiSide,
    fault: dict[str, Any],
    kind: type[JobError],
    reason: Reason,
    retry_after: float | None,
) -> None:
    token = side.token()
    sandbox.fault(**fault)
    error = creation_failure(side.interactions(), token)
    assert (type(error), error.reason) == (kind, reason)
    assert getattr(error, "retry_after", None) == retry_after


def test_a_created_interaction_may_be_announced_with_200(sandbox: Sandbox, side: CortiSide) -> None:
    sandbox.fault("create_status_200")
    assert side.interactions().create(make_job(), side.token()).id
    assert side.recorder.observed(catalogue.REST_SECONDS)


def test_a_slow_service_is_given_up_in_time(sandbox: Sandbox) -> None:
    with corti_side(sandbox, timeout=0.3) as side:
        token = side.token()
        sandbox.fault("slow_api", seconds=1.0)
        error = creation_failure(side.interactions(), token)
    assert isinstance(error, TransientError)
    assert "in time" in error.detail


def test_a_service_that_is_not_there_is_worth_another_try(side: CortiSide) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = creation_failure(side.interactions(api=f"http://127.0.0.1:{port}"), as_token("opaque"))
    assert isinstance(error, TransientError)
    assert error.reason is Reason.UPSTREAM_UNAVAILABLE
