"""The ledger on a real Redis: which worker may run a job, how often it was tried, how it ended."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from cryptography.fernet import Fernet

from ops.lib.servers import RedisServer
from tests.fakes import FakeClock, FakeRecorder
from worker.jobs.claims import Busy, Claim, Finished, LedgerUnavailable, OutboxEntry
from worker.store.cipher import FernetCipher, NoCipher
from worker.store.ledger import LeaseRenewer, RedisLedger
from worker.store.ledger.ledger import ENDED, OUTBOX, QUARANTINE, SINCE

ENTRY = OutboxEntry("job", "completed", "corti.job.completed.v1", b'{"words": "of a patient"}', None, None)


def ledger_of(client: redis.Redis, lease: float = 30, *, keep_results: bool = False) -> RedisLedger:
    return RedisLedger(client, NoCipher(), lease=lease, keep=60, keep_results=keep_results)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def ledger(client: redis.Redis) -> RedisLedger:
    return ledger_of(client)


def claimed(ledger: RedisLedger, job_id: str = "job") -> Claim:
    found = ledger.claim(job_id)
    assert isinstance(found, Claim)
    return found


def expire(client: redis.Redis, job_id: str = "job") -> None:
    client.hset(f"corti:v1:job:{job_id}", "lease", 1)


def test_the_fence_does_not_go_back_when_redis_is_emptied(ledger: RedisLedger, client: redis.Redis) -> None:
    first = claimed(ledger)
    client.flushall()
    assert claimed(ledger_of(client)).fence > first.fence


def test_a_stored_result_is_backlog_until_it_is_delivered(ledger: RedisLedger) -> None:
    ledger.store(claimed(ledger), ENTRY)
    assert ledger.backlog()[0] == 1
    ledger.delivered("job")
    assert ledger.backlog() == (0, 0.0)


def test_the_backlogs_age_is_that_of_the_oldest_result(ledger: RedisLedger, client: redis.Redis) -> None:
    for job_id in "first", "second":
        ledger.store(claimed(ledger, job_id), replace(ENTRY, job_id=job_id))
    client.zincrby(SINCE, -90_000, "first")
    client.zincrby(SINCE, -30_000, "second")
    # A result keeps its age when a worker takes it over.
    client.zadd(OUTBOX, {"first": 1})
    assert ledger.take_undelivered() == ["first"]
    count, age = ledger.backlog()
    assert count == 2
    assert 90 <= age < 100
    ledger.delivered("first")
    assert ledger.backlog()[1] == pytest.approx(30, abs=5)


def test_times_of_results_that_are_gone_do_not_count_and_are_removed(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    ledger.store(claimed(ledger), ENTRY)
    client.zadd(SINCE, {f"gone-{number}": number for number in range(50)})
    count, age = ledger.backlog()
    assert count == 1
    assert age < 10
    assert client.zcard(SINCE) == 1


def test_attempts_and_interaction_of_a_forgotten_claim_are_written_again(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    claim = claimed(ledger)
    ledger.remember(claim, "id", "wss://stream")
    ledger.again(claim)
    client.flushall()
    assert ledger.renew([claim]) == [True]
    expire(client)
    again = claimed(ledger_of(client))
    assert (again.attempts, again.interaction_id) == (3, "id")


def test_nobody_takes_a_result_that_its_worker_still_delivers(client: redis.Redis) -> None:
    ledger = ledger_of(client, lease=0.2)
    claim = claimed(ledger)
    ledger.store(claim, ENTRY)
    assert ledger.renew([claim]) == [True]
    assert ledger.take_undelivered() == []


def test_renewal_reports_which_claim_was_lost(ledger: RedisLedger, client: redis.Redis) -> None:
    late = claimed(ledger)
    other = claimed(ledger, "other")
    expire(client)
    now = claimed(ledger)
    assert ledger.renew([late, now, other]) == [False, True, True]


def test_a_claim_that_redis_has_forgotten_is_asserted_again(ledger: RedisLedger, client: redis.Redis) -> None:
    claim = claimed(ledger)
    client.flushall()
    assert ledger.renew([claim]) == [True]
    expire(client)
    again = claimed(ledger_of(client))
    assert again.attempts == 2
    assert again.fence > claim.fence


def test_after_redis_lost_its_data_nothing_is_claimed_until_workers_have_spoken(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    ledger.store(claimed(ledger), ENTRY)
    ledger.delivered("job")
    other = ledger_of(client)
    claimed(other, "other")
    client.flushall()
    assert isinstance(other.claim("job"), Busy)
    assert ledger.say_again()
    assert not ledger.say_again()
    assert other.say_again()
    client.delete(QUARANTINE)
    assert other.claim("job") == Finished(undelivered=False)


def test_ends_of_jobs_on_a_worker_that_is_gone_are_written_again_by_others(client: redis.Redis) -> None:
    gone, other = ledger_of(client), ledger_of(client)
    for number in range(5):
        gone.store(claimed(gone, f"job-{number}"), replace(ENTRY, job_id=f"job-{number}"))
        gone.delivered(f"job-{number}")
    claimed(other, "other")
    renewer = LeaseRenewer(other, FakeRecorder(), FakeClock())
    renewer.turn()
    client.flushall()
    renewer.turn()
    client.delete(QUARANTINE)
    found = [ledger_of(client).claim(f"job-{number}") for number in range(5)]
    assert found == [Finished(undelivered=False)] * 5


def test_ends_can_be_learned_for_ten_minutes(client: redis.Redis) -> None:
    ledger = ledger_of(client)
    for job_id in "old", "new":
        ledger.store(claimed(ledger, job_id), replace(ENTRY, job_id=job_id))
        ledger.delivered(job_id)
        client.zincrby(ENDED, -601_000 if job_id == "old" else 0, job_id)
    ledger.store(claimed(ledger, "newest"), replace(ENTRY, job_id="newest"))
    ledger.delivered("newest")
    assert client.zrange(ENDED, 0, -1) == [b"new", b"newest"]
    assert 590 < int(client.ttl(ENDED)) <= 600


def test_a_first_worker_on_an_empty_redis_does_not_wait(client: redis.Redis) -> None:
    client.flushall()
    claimed(ledger_of(client))


def test_a_stored_result_is_encrypted_and_readable_after_a_rotation_of_keys(client: redis.Redis) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    writer = RedisLedger(client, FernetCipher((old,)), lease=30, keep=60, keep_results=False)
    writer.store(claimed(writer), replace(ENTRY, letter=b"a letter"))
    stored = str(client.hgetall("corti:v1:job:job"))
    assert "patient" not in stored
    assert "a letter" not in stored
    reader = RedisLedger(client, FernetCipher((new, old)), lease=30, keep=60, keep_results=False)
    assert reader.outbox_entry("job") == replace(ENTRY, letter=b"a letter")
    stranger = RedisLedger(client, FernetCipher((new,)), lease=30, keep=60, keep_results=False)
    assert stranger.outbox_entry("job") is None


def test_a_redis_that_is_away_is_reported(redis_server: RedisServer, client: redis.Redis) -> None:
    ledger = ledger_of(client)
    claim = claimed(ledger)
    redis_server.stop()
    try:
        for call in (
            lambda: ledger.claim("job"),
            lambda: ledger.release(claim),
            lambda: ledger.again(claim),
            lambda: ledger.store(claim, ENTRY),
            lambda: ledger.renew([claim]),
        ):
            with pytest.raises(LedgerUnavailable):
                call()
    finally:
        redis_server.start()
