"""Records of other versions on a real Redis: which ones this version reads, and which it leaves alone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from tests.fakes import FakeRecorder
from worker.jobs.claims import Busy, Claim, ClaimLost, Finished, OutboxEntry
from worker.jobs.outbox import Sweeper
from worker.store.cipher import NoCipher
from worker.store.ledger import RedisLedger

KEY = "corti:v1:job:job"
PARCEL = OutboxEntry("job", "completed", "corti.job.completed.v1", b"{}", None, None)
#: Records as the first deployed version wrote them: see `claim`, `remember` and `store`.
RUNNING: dict[Any, Any] = {
    "state": "running",
    "owner": "9f0b5c0a6a2f4c1d8d7e6b5a4c3d2e1f",
    "lease": "1",
    "fence": "1764105600000000",
    "attempts": "2",
    "interaction": "1c4cf0b4-8a5e-4a49-9a3e-3c3b1f0b7d11",
    "url": "wss://api.eu.corti.app/audio-bridge/v2/interactions/1c4cf0b4/streams?tenant-name=base",
}
FINISHED: dict[Any, Any] = {
    **RUNNING,
    "state": "finished",
    "outcome": "completed corti.job.completed.v1",
    "event": '{"id": "job/final"}',
    "reply_to": "",
    "letter": "",
    "undelivered": "1",
}


class Delivered:
    """Implements `Publisher`: keeps the entries that are delivered."""

    def __init__(self) -> None:
        self.outbox_entries: list[OutboxEntry] = []

    def deliver(self, outbox_entry: OutboxEntry) -> None:
        """See `worker.jobs.ports.Publisher`."""
        self.outbox_entries.append(outbox_entry)

    def publish_dead_letter(self, letter: object) -> None:
        """See `worker.jobs.ports.Publisher`."""
        raise AssertionError(letter)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def ledger(client: redis.Redis) -> RedisLedger:
    return RedisLedger(client, NoCipher(), lease=30, keep=60, keep_results=False)


def record(client: redis.Redis) -> dict[str, str]:
    fields: Any = client.hgetall(KEY)
    return {name.decode(): value.decode() for name, value in fields.items()}


def test_a_job_of_the_first_versions_dead_worker_is_taken_over_where_it_was(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    client.hset(KEY, mapping=RUNNING)
    claim = ledger.claim("job")
    assert isinstance(claim, Claim)
    assert (claim.attempts, claim.takeover) == (3, True)
    assert claim.fence > int(RUNNING["fence"])
    assert (claim.interaction_id, claim.stream_url) == (RUNNING["interaction"], RUNNING["url"])


def test_a_result_that_the_first_version_stored_is_delivered(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    client.hset(KEY, mapping=FINISHED)
    client.zadd("corti:v1:outbox", {"job": 1})
    delivered = Delivered()
    assert Sweeper(ledger, delivered, FakeRecorder()).sweep() == 1
    assert delivered.outbox_entries == [
        OutboxEntry("job", "completed", "corti.job.completed.v1", b'{"id": "job/final"}', None, None)
    ]
    assert ledger.claim("job") == Finished(undelivered=False)


def test_this_version_writes_the_fields_and_keys_of_the_first_version(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    claim = ledger.claim("job")
    assert isinstance(claim, Claim)
    ledger.remember(claim, "interaction", "wss://corti.example")
    assert record(client).keys() == RUNNING.keys()
    ledger.store(claim, PARCEL)
    assert record(client).keys() == FINISHED.keys()
    assert {name.decode() for name in client.scan_iter()} == {
        KEY,
        "corti:v1:epoch",
        "corti:v1:outbox",
        "corti:v1:outbox:since",
    }


def test_fields_that_a_later_version_added_stay_as_they_are(ledger: RedisLedger, client: redis.Redis) -> None:
    client.hset(KEY, mapping={**RUNNING, "checkpoint": "of next year"})
    claim = ledger.claim("job")
    assert isinstance(claim, Claim)
    ledger.again(claim)
    assert ledger.renew([claim]) == [True]
    ledger.store(claim, PARCEL)
    ledger.delivered("job")
    assert record(client)["checkpoint"] == "of next year"


@pytest.mark.parametrize("state", ["running", "finished", "paused"])
def test_a_record_whose_format_we_do_not_know_is_left_alone(
    ledger: RedisLedger, client: redis.Redis, state: str
) -> None:
    claim = ledger.claim("job")
    assert isinstance(claim, Claim)
    client.delete(KEY)
    foreign = {**FINISHED, "state": state, "format": "2"}
    client.hset(KEY, mapping=foreign)
    client.zadd("corti:v1:outbox", {"job": 1})
    assert isinstance(ledger.claim("job"), Busy)
    # A record of unknown format is left alone even if its owner is our own claim.
    client.hset(KEY, "owner", claim.owner)
    assert ledger.renew([claim]) == [False]
    with pytest.raises(ClaimLost):
        ledger.store(claim, PARCEL)
    assert Sweeper(ledger, Delivered(), FakeRecorder()).sweep() == 0
    ledger.release(replace(claim, owner="nobody"))
    assert record(client) == {**foreign, "owner": claim.owner}


def test_keys_of_a_later_version_are_not_touched(ledger: RedisLedger, client: redis.Redis) -> None:
    client.hset("corti:v2:job:job", "state", "running")
    client.zadd("corti:v2:outbox", {"job": 1})
    claim = ledger.claim("job")
    assert isinstance(claim, Claim)
    ledger.store(claim, PARCEL)
    ledger.delivered("job")
    ledger.say_again()
    assert ledger.take_undelivered() == []
    assert client.hgetall("corti:v2:job:job") == {b"state": b"running"}
    assert client.zrange("corti:v2:outbox", 0, -1) == [b"job"]
