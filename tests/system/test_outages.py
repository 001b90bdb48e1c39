"""Everything around the worker fails for a while: all jobs end, each exactly once, within a bound."""

import time
from pathlib import Path

import pytest

from ops.lib.servers import RabbitMqServer, RedisServer
from tests.system.audio import clip
from tests.system.installation import Installation

JOBS = 10
#: BOUND is how many seconds after an outage all jobs must have ended: the longest backoff of these tests
#: (CAP), the duration of a job, and a margin.
CAP, BOUND = 4, 25


def start(installation: Installation, **settings: object) -> None:
    installation.start_worker(retry_cap=CAP, **settings).ready()


def assert_all_end_once(installation: Installation, jobs: int, since: float, what: str) -> None:
    finals = installation.finals(jobs, timeout=90)
    seconds = time.monotonic() - since
    installation.no_more_finals(2)
    assert installation.outcomes(finals) == {"completed": jobs}
    print(f"\n{installation.broker}: {what}: {jobs} jobs ended {seconds:.1f} s after the trouble")
    assert seconds <= BOUND


@pytest.fixture
def path(tmp_path: Path) -> Path:
    clip(tmp_path / "clip.wav", 6.0, seed=1)
    return tmp_path / "clip.wav"


def test_the_auth_server_is_away_for_fifteen_seconds_then_a_token_is_revoked_then_the_secret_rotated(
    installation: Installation, path: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(installation.sandbox.info.client_secret)
    installation.settings.pop("CORTI_CLIENT_SECRET")
    installation.settings["CORTI_CLIENT_SECRET_FILE"] = str(secret)
    installation.sandbox.fault("auth_down", how="cut")
    start(installation)
    installation.put(*(installation.job(path) for _ in range(JOBS)))
    time.sleep(15)
    installation.sandbox.clear_faults()
    assert_all_end_once(installation, JOBS, time.monotonic(), "auth server down")

    installation.put(*(installation.job(path) for _ in range(JOBS)))
    installation.wait_for_streams(JOBS)
    installation.sandbox.fault("revoke_tokens")
    installation.put(*(installation.job(path) for _ in range(JOBS)))
    assert_all_end_once(installation, 2 * JOBS, time.monotonic(), "tokens revoked")

    installation.sandbox.fault("rotate_secret", secret="a-new-secret")
    installation.sandbox.fault("revoke_tokens")
    installation.put(*(installation.job(path) for _ in range(JOBS)))
    time.sleep(3)
    secret.write_text("a-new-secret\n")
    assert_all_end_once(installation, JOBS, time.monotonic(), "secret rotated")
    assert installation.sandbox.stats(summary=True)["overlaps"] == 0


def test_the_api_answers_500_then_503_then_429_and_every_job_ends(
    installation: Installation, path: Path
) -> None:
    for status, retry_after in ((500, None), (503, 2), (429, 1)):
        installation.sandbox.fault(
            "api_error", operation="create_interaction", status=status, retry_after=retry_after, count=JOBS
        )
    start(installation)
    installation.put(*(installation.job(path) for _ in range(JOBS)))

    finals = installation.finals(JOBS, timeout=60)

    assert installation.outcomes(finals) == {"completed": JOBS}
    assert {event["data"]["attempts"] for event in finals.values()} == {1}


def test_an_account_without_credits_fails_at_once(installation: Installation, path: Path) -> None:
    installation.sandbox.fault("quota")
    start(installation)
    installation.put(installation.job(path))

    finals = installation.finals(1, timeout=10)

    assert installation.outcomes(finals) == {"quota_exhausted": 1}


def test_a_stream_that_breaks_is_tried_again_on_the_same_interaction(
    installation: Installation, path: Path
) -> None:
    installation.sandbox.fault("drop_socket", after_seconds=2, count=JOBS)
    start(installation)
    installation.put(*(installation.job(path) for _ in range(JOBS)))

    finals = installation.finals(JOBS, timeout=60)

    assert installation.outcomes(finals) == {"completed": JOBS}
    assert {event["data"]["attempts"] for event in finals.values()} == {2}
    assert installation.sandbox.stats(summary=True)["interactions_created"] == JOBS


def test_a_job_that_always_fails_is_given_up_and_does_not_block_others(
    installation: Installation, path: Path
) -> None:
    poison = installation.job(path)
    installation.sandbox.fault("drop_socket", after_seconds=1, encounter=poison["job_id"])
    start(installation, attempts=3, slots=2)
    installation.put(poison, *(installation.job(path) for _ in range(6)))

    finals = installation.finals(7, timeout=90)
    letters = installation.dead(1, timeout=10)

    assert finals[poison["job_id"]]["data"]["reason"] == "attempts_exhausted"
    assert finals[poison["job_id"]]["data"]["cause"] == "stream_interrupted"
    assert finals[poison["job_id"]]["data"]["attempts"] == 3
    assert installation.outcomes(finals) == {"completed": 6, "attempts_exhausted": 1}
    assert [(letter["job_id"], letter["attempts"]) for letter in letters] == [(poison["job_id"], 3)]


def test_a_job_fails_when_its_not_after_passes(installation: Installation, path: Path) -> None:
    installation.sandbox.fault("auth_down")
    start(installation)
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    installation.put(installation.job(path, not_after=soon))

    finals = installation.finals(1, timeout=20)

    assert installation.outcomes(finals) == {"expired": 1}


def test_the_broker_is_away_when_jobs_end(
    installation: Installation,
    path: Path,
    request: pytest.FixtureRequest,
) -> None:
    server: RedisServer | RabbitMqServer = request.getfixturevalue(f"{installation.broker}_server")
    start(installation)
    installation.put(*(installation.job(path) for _ in range(JOBS)))
    installation.wait_for_streams(JOBS)
    with server.frozen():
        time.sleep(10)
        assert not installation.open_streams()

    assert_all_end_once(installation, JOBS, time.monotonic(), "broker away at the end")


def test_a_tenant_never_has_more_streams_than_its_cap(installation: Installation, path: Path) -> None:
    start(installation, tenant_streams=3)
    start(installation, tenant_streams=3)
    installation.put(*(installation.job(path, pace=4) for _ in range(JOBS)))

    finals = installation.finals(JOBS, timeout=60)

    assert installation.outcomes(finals) == {"completed": JOBS}
    assert installation.sandbox.stats(summary=True)["max_sockets_open"] <= 3
    assert sum(worker.metric("corti_admissions_refused_total") for worker in installation.workers) > 0
