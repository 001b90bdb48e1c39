"""The `Ledger` port (claims, attempts, outbox): the unit tests' fake and the real one, by the same tests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
import redis

from tests.fakes import FakeClock, MemoryLedger
from worker.jobs.claims import Busy, Claim, ClaimLost, Finished, LedgerUnavailable, OutboxEntry
from worker.store.cipher import NoCipher
from worker.store.ledger import RedisLedger
from worker.store.ledger.ledger import OUTBOX

LEASE = 30.0
ENTRY = OutboxEntry("job", "completed", "corti.job.completed.v1", b'{"words": "of a patient"}', None, None)
Ledger = RedisLedger | MemoryLedger


@dataclass
class Bench:
    """A ledger, with functions that let its times run out and take its store away.

    Attributes:
        ledger: The ledger.
        expire: Lets the lease of the claim on the job run out.
        abandon: Lets the time run out in which only the job's worker delivers the stored result.
        cut: Makes the ledger's store unreachable.
    """

    ledger: Ledger
    expire: Callable[[], object]
    abandon: Callable[[], object]
    cut: Callable[[], object]

    def claimed(self) -> Claim:
        found = self.ledger.claim("job")
        assert isinstance(found, Claim)
        return found


def in_memory(*, keep_results: bool) -> Bench:
    clock = FakeClock()
    ledger = MemoryLedger(clock, LEASE, keep_results=keep_results)

    def pass_by() -> None:
        clock.advance(LEASE + 1)

    methods = (
        "claim",
        "release",
        "again",
        "remember",
        "store",
        "delivered",
        "take_undelivered",
        "outbox_entry",
    )
    return Bench(ledger, pass_by, pass_by, lambda: ledger.away.update(dict.fromkeys(methods, -1)))


def on_redis(client: redis.Redis, *, keep_results: bool) -> Bench:
    ledger = RedisLedger(client, NoCipher(), lease=LEASE, keep=60, keep_results=keep_results)

    def cut() -> None:
        client.connection_pool.connection_kwargs["port"] = 1
        client.connection_pool.reset()

    return Bench(
        ledger,
        lambda: client.hset("corti:v1:job:job", "lease", 1),
        lambda: client.zadd(OUTBOX, {"job": 1}),
        cut,
    )


@pytest.fixture(params=["memory", "redis"])
def benches(request: pytest.FixtureRequest) -> Iterator[Callable[..., Bench]]:
    if request.param == "memory":
        yield in_memory
        return
    url = request.getfixturevalue("redis_url")
    with redis.Redis.from_url(url) as client:

        def make(**how: bool) -> Bench:
            client.flushall()
            return on_redis(client, **how)

        yield make


@pytest.fixture
def bench(benches: Callable[..., Bench]) -> Bench:
    return benches(keep_results=True)


def test_a_claimed_job_is_busy_for_as_long_as_the_lease(bench: Bench) -> None:
    bench.claimed()
    found = bench.ledger.claim("job")
    assert isinstance(found, Busy)
    assert LEASE - 1 < found.seconds <= LEASE


def test_a_claim_that_ran_out_is_taken_over_with_a_larger_fence(bench: Bench) -> None:
    first = bench.claimed()
    bench.expire()
    second = bench.claimed()
    assert second.fence > first.fence
    assert (first.takeover, second.takeover) == (False, True)
    assert (first.attempts, second.attempts) == (1, 2)


def test_a_released_claim_counts_no_attempt_and_is_no_takeover(bench: Bench) -> None:
    bench.ledger.release(bench.claimed())
    again = bench.claimed()
    assert (again.attempts, again.takeover) == (1, False)


def test_a_late_release_leaves_the_next_claim_alone(bench: Bench) -> None:
    late = bench.claimed()
    bench.expire()
    bench.claimed()
    bench.ledger.release(late)
    assert isinstance(bench.ledger.claim("job"), Busy)


def test_attempts_are_counted_across_claims(bench: Bench) -> None:
    claim = bench.claimed()
    assert bench.ledger.again(claim) == 2
    assert bench.ledger.again(claim) == 3
    bench.expire()
    assert bench.claimed().attempts == 4


def test_a_lost_claim_can_neither_count_an_attempt_nor_store_a_result(bench: Bench) -> None:
    late = bench.claimed()
    bench.expire()
    bench.claimed()
    with pytest.raises(ClaimLost):
        bench.ledger.again(late)
    with pytest.raises(ClaimLost):
        bench.ledger.store(late, ENTRY)
    assert bench.ledger.outbox_entry("job") is None


def test_a_lost_claim_cannot_store_an_interaction(bench: Bench) -> None:
    late = bench.claimed()
    bench.expire()
    bench.claimed()
    bench.ledger.remember(late, "of the late one", "wss://late")
    bench.expire()
    assert bench.claimed().interaction_id == ""


def test_the_interaction_is_there_for_the_next_claim(bench: Bench) -> None:
    bench.ledger.remember(bench.claimed(), "id", "wss://stream")
    bench.expire()
    again = bench.claimed()
    assert (again.interaction_id, again.stream_url) == ("id", "wss://stream")


def test_a_stored_result_ends_the_job_and_waits_until_it_is_delivered(bench: Bench) -> None:
    outbox_entry = replace(ENTRY, reply_to="corti.results.x", letter=b"letter")
    bench.ledger.store(bench.claimed(), outbox_entry)
    assert bench.ledger.claim("job") == Finished(undelivered=True)
    assert bench.ledger.outbox_entry("job") == outbox_entry
    bench.ledger.delivered("job")
    assert bench.ledger.claim("job") == Finished(undelivered=False)


@pytest.mark.parametrize("keep_results", [False, True])
def test_a_delivered_result_is_forgotten_unless_repeats_are_to_be_answered(
    benches: Callable[..., Bench], *, keep_results: bool
) -> None:
    bench = benches(keep_results=keep_results)
    bench.ledger.store(bench.claimed(), ENTRY)
    bench.ledger.delivered("job")
    assert (bench.ledger.outbox_entry("job") == ENTRY) is keep_results
    assert bench.ledger.claim("job") == Finished(undelivered=False)


def test_a_store_whose_answer_got_lost_can_be_repeated_until_the_result_is_delivered(bench: Bench) -> None:
    claim = bench.claimed()
    bench.ledger.store(claim, ENTRY)
    bench.ledger.store(claim, replace(ENTRY, outcome="failed"))
    stored = bench.ledger.outbox_entry("job")
    assert stored is not None
    assert stored.outcome == "completed"
    bench.ledger.delivered("job")
    with pytest.raises(ClaimLost):
        bench.ledger.store(claim, ENTRY)


def test_a_finished_job_is_not_released(bench: Bench) -> None:
    claim = bench.claimed()
    bench.ledger.store(claim, ENTRY)
    bench.ledger.release(claim)
    assert bench.ledger.claim("job") == Finished(undelivered=True)


def test_a_result_that_its_worker_does_not_deliver_is_given_to_one_other(bench: Bench) -> None:
    bench.ledger.store(bench.claimed(), ENTRY)
    assert bench.ledger.take_undelivered() == [], "the job's own worker still delivers it"
    bench.abandon()
    assert bench.ledger.take_undelivered() == ["job"]
    assert bench.ledger.take_undelivered() == []


def test_an_unknown_job_has_no_stored_result(bench: Bench) -> None:
    assert bench.ledger.outbox_entry("job") is None


def test_every_call_to_an_unreachable_ledger_raises(bench: Bench) -> None:
    ledger = bench.ledger
    claim = bench.claimed()
    bench.cut()
    for call in (
        lambda: ledger.claim("job"),
        lambda: ledger.release(claim),
        lambda: ledger.again(claim),
        lambda: ledger.remember(claim, "id", "wss://stream"),
        lambda: ledger.store(claim, ENTRY),
        lambda: ledger.delivered("job"),
        ledger.take_undelivered,
        lambda: ledger.outbox_entry("job"),
    ):
        with pytest.raises(LedgerUnavailable):
            call()
