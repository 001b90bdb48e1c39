"""An old and a new worker side by side on one broker and one Redis, as in a rollout and in a rollback."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import kombu.pools
import pytest
import redis
from cryptography.fernet import Fernet

from ops.lib.worker_process import WorkerProcess
from tests.system.audio import clip
from tests.system.installation import HERE, Installation
from tests.system.versions import declare_as_before, old_source
from worker.broker.redis_visibility import transport_options
from worker.broker.work_queue import CeleryWorkQueue, make_celery
from worker.clock import SystemClock
from worker.jobs.ingress_headers import IngressHeaders

LEASE = 6


@dataclass(frozen=True)
class Rollout:
    """A change from one version to the other.

    Attributes:
        before: Directory with the code of the version that is replaced.
        after: Directory with the code of the version that replaces it.
    """

    before: Path
    after: Path


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old worker's code."""
    return old_source(tmp_path_factory.mktemp("old"))


@pytest.fixture(params=["upgrade", "rollback"])
def rollout(request: pytest.FixtureRequest, old: Path, installation: Installation) -> Rollout:
    """From the old version to the present one, and back."""
    if installation.broker == "rabbitmq":
        declare_as_before(installation.broker_url)
    return Rollout(old, HERE) if request.param == "upgrade" else Rollout(HERE, old)


@pytest.fixture
def start(installation: Installation) -> Callable[..., WorkerProcess]:
    """A function that starts workers with the same leases and the same encryption key."""
    shared = {"lease": LEASE, "visibility_timeout": LEASE, "encryption_keys": Fernet.generate_key().decode()}
    return lambda source, **more: installation.start_version(source, **shared, **more)


def finished(worker: WorkerProcess) -> float:
    return worker.metric("corti_jobs_finished_total", outcome="completed")


def test_each_process_runs_the_code_of_its_version(old: Path) -> None:
    for source in old, HERE:
        command = [sys.executable, "-c", "import worker; print(worker.__file__)"]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(source / "worker/__init__.py")


def test_jobs_that_one_version_takes_in_run_in_the_other(
    installation: Installation, rollout: Rollout, start: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    path = tmp_path / "short.wav"
    sha256 = clip(path, 2.0, seed=1)
    installation.start_door(rollout.before).ready()
    worker = start(rollout.after, door="false").ready()
    jobs = [
        installation.job(path, pace=4, events=["transcript"], metadata={"number": number})
        for number in range(8)
    ]
    installation.put(*jobs)

    finals = installation.finals(len(jobs), timeout=40)

    assert installation.outcomes(finals) == {"completed": len(jobs)}
    assert {finals[job["job_id"]]["data"]["metadata"]["number"] for job in jobs} == set(range(8))
    assert {record["sha256"] for record in installation.streams()} == {sha256}
    # The worker counts a job just after the broker has confirmed its result.
    installation.until(lambda: finished(worker) == len(jobs), 10)


def test_jobs_of_a_killed_worker_are_taken_over_by_the_other_version(
    installation: Installation, rollout: Rollout, start: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    sha256 = clip(path, 8.0, seed=1)
    victim = start(rollout.before).ready()
    jobs = [installation.job(path) for _ in range(6)]
    installation.put(*jobs)
    installation.wait_for_streams(len(jobs))
    # The second worker starts after the first was killed: on a busy machine the jobs could otherwise end
    # before it is ready.
    victim.kill()
    survivor = start(rollout.after).ready()

    finals = installation.finals(len(jobs), timeout=60)
    installation.no_more_finals(3)

    assert installation.outcomes(finals) == {"completed": len(jobs)}
    assert {event["data"]["attempts"] for event in finals.values()} == {2}
    assert survivor.metric("corti_claims_total", outcome="taken_over") == len(jobs)
    second = [record for record in installation.streams() if record["stream_number"] == 2]
    assert [record["sha256"] for record in second] == [sha256] * len(jobs)
    stats = installation.sandbox.stats(summary=True)
    assert (stats["interactions_created"], stats["overlaps"]) == (len(jobs), 0)
    assert stats["token_requests"] == {"200": 1}, "the versions must share one token"


def test_a_rollout_under_load_loses_no_job_and_runs_none_twice(
    installation: Installation,
    rollout: Rollout,
    start: Callable[..., WorkerProcess],
    tmp_path: Path,
    redis_url: str,
) -> None:
    path = tmp_path / "clip.wav"
    clip(path, 4.0, seed=1)
    leaving = start(rollout.before, slots=10, grace=1).ready()
    jobs = [installation.job(path) for _ in range(30)]
    installation.put(*jobs[:10])
    installation.wait_for_streams(10)
    coming = start(rollout.after, slots=10).ready()
    installation.put(*jobs[10:])
    installation.wait_for_streams(20)
    # There are twice as many streams as one worker has slots, so both workers run jobs. Jobs that the leaving
    # worker cannot end go back to the queue.
    assert leaving.terminate() == 0

    finals = installation.finals(len(jobs), timeout=60)
    repeats = jobs[:3]
    installation.put(*repeats)
    installation.no_more_finals(4)

    assert installation.outcomes(finals) == {"completed": len(jobs)}
    assert {event["data"]["attempts"] for event in finals.values()} == {1}, "an attempt was used"
    assert coming.metric("corti_jobs_repeated_total", outcome="dropped") == len(repeats)
    assert installation.sandbox.stats(summary=True)["token_requests"] == {"200": 1}
    with redis.Redis.from_url(redis_url) as client:
        kept = {name.decode() for name in client.scan_iter("corti:*")}
    assert kept
    assert {name for name in kept if not name.startswith("corti:v1:")} == set()


def test_a_job_that_only_a_later_versions_door_could_read_is_not_lost(installation: Installation) -> None:
    """The test stands in for a later version's door: it accepts a job with a key that this worker rejects."""
    on_rabbit = installation.broker == "rabbitmq"
    app = make_celery(
        installation.broker_url,
        redis_options=None if on_rabbit else transport_options(LEASE),
        consumer_timeout=21600,
    )
    work = CeleryWorkQueue(app, installation.broker_url, on_rabbit=on_rabbit)
    job = {**installation.job(Path("/nowhere.wav")), "a_key_of_next_year": 1}
    try:
        work.put(json.dumps(job).encode(), IngressHeaders(SystemClock().wall()))
    finally:
        work.close()
        app.close()
        kombu.pools.reset()
    worker = installation.start_worker().ready()

    (letter,) = installation.dead(1, timeout=40)

    assert (letter["job_id"], letter["reason"]) == (job["job_id"], "invalid_job")
    assert [error["field"] for error in letter["errors"]] == ["a_key_of_next_year"]
    assert worker.metric("corti_jobs_handed_back_total", reason="set_aside") == 1


def test_a_result_that_one_version_could_not_deliver_is_delivered_by_the_other(
    installation: Installation,
    rollout: Rollout,
    start: Callable[..., WorkerProcess],
    tmp_path: Path,
    redis_url: str,
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    victim = start(rollout.before, on_repeat="republish").ready()
    job = installation.job(path, pace=4)
    installation.put(job)
    (before,) = installation.finals(1, timeout=30).values()
    victim.kill()
    # Restore the state in Redis between the end of a job and the broker's confirmation.
    with redis.Redis.from_url(redis_url) as client:
        client.hset(f"corti:v1:job:{job['job_id']}", "undelivered", 1)
        client.zadd("corti:v1:outbox", {job["job_id"]: 1})
    start(rollout.after)

    (after,) = installation.finals(1, timeout=30).values()

    assert after == before
