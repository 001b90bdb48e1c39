"""All workers together request one token, however many they are."""

from pathlib import Path

import redis
from cryptography.fernet import Fernet

from tests.system.audio import clip
from tests.system.installation import Installation

WORKERS, JOBS = 4, 200


def test_four_cold_workers_with_two_hundred_jobs_ask_for_one_token(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    installation.put(*(installation.job(path, pace=10) for _ in range(JOBS)))
    for _ in range(WORKERS):
        installation.start_worker(slots=JOBS // WORKERS)

    finals = installation.finals(JOBS, timeout=120)

    assert installation.outcomes(finals) == {"completed": JOBS}
    assert installation.sandbox.stats(summary=True)["token_requests"] == {"200": 1}

    def finished() -> list[float]:
        return [worker.metric("corti_jobs_finished_total") for worker in installation.workers]

    # The worker counts a job just after the broker has confirmed its result.
    installation.until(lambda: sum(finished()) == JOBS, 10)
    print(f"\njobs by worker: {finished()}")


def test_the_token_in_redis_is_encrypted_when_a_key_is_configured(
    installation: Installation, tmp_path: Path, redis_url: str
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    key = Fernet.generate_key()
    installation.start_worker(encryption_keys=key.decode()).ready()
    installation.put(installation.job(path, pace=10))
    installation.finals(1, timeout=30)

    with redis.Redis.from_url(redis_url) as client:
        records = [client.hgetall(name) for name in client.scan_iter("corti:v1:token:*")]
    assert len(records) == 1
    token = Fernet(key).decrypt(records[0][b"value"])
    assert token.count(b".") == 2  # a JWT
