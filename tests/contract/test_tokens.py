"""The `Tokens` port: rules for every token cache, with Redis and without, encrypted and not."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from tests.contract.token_world import LOCAL_LIFE, TokenWorld, new_key
from worker.clock import SystemClock
from worker.contract.errors import JobError, Reason, TransientError
from worker.protocol.token import Token
from worker.store.token_cache import TokenCache
from worker.telemetry import catalogue

_THREADS = 12


@pytest.fixture(params=["alone", "shared", "encrypted"])
def world(request: pytest.FixtureRequest) -> Iterator[TokenWorld]:
    if request.param == "alone":
        yield TokenWorld(None)
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield TokenWorld(client, (new_key(),) if request.param == "encrypted" else ())


def test_one_request_serves_many_calls(world: TokenWorld) -> None:
    cache = world.process()
    values = {cache.get().value for _ in range(10)}
    assert (len(values), world.endpoint.requests) == (1, 1)


def test_many_threads_with_an_empty_cache_make_one_request(world: TokenWorld) -> None:
    cache = world.process(clock=SystemClock())
    world.endpoint.gate.clear()
    with ThreadPoolExecutor(_THREADS) as pool:
        calls = [pool.submit(cache.get) for _ in range(_THREADS)]
        assert world.endpoint.asked.wait(5)
        assert not any(call.done() for call in calls)
        world.endpoint.gate.set()
        values = {call.result().value for call in calls}
    assert (len(values), world.endpoint.requests) == (1, 1)


def test_a_token_is_renewed_before_it_expires(world: TokenWorld) -> None:
    cache = world.process()
    first = cache.get()
    world.pass_time(239)
    assert cache.get().value == first.value
    world.pass_time(2)
    assert cache.get().value != first.value
    assert world.endpoint.requests == 2


def test_the_old_token_serves_while_one_thread_renews_it(world: TokenWorld) -> None:
    cache = world.process()
    old = cache.get()
    world.pass_time(241 - LOCAL_LIFE + 1)
    assert cache.get().value == old.value, "the process did not keep a copy of its own"
    world.pass_time(LOCAL_LIFE - 1)
    world.endpoint.gate.clear()
    world.endpoint.asked.clear()
    with ThreadPoolExecutor(1) as pool:
        renewal = pool.submit(cache.get)
        assert world.endpoint.asked.wait(5)
        assert [cache.get().value for _ in range(3)] == [old.value] * 3
        assert not renewal.done()
        world.endpoint.gate.set()
        new = renewal.result()
    assert new.value != old.value
    assert cache.get().value == new.value
    assert world.endpoint.requests == 2


def test_a_token_is_not_used_in_its_last_seconds(world: TokenWorld) -> None:
    cache = world.process()
    first = cache.get()
    world.pass_time(291)
    assert cache.get().value != first.value


def test_a_refused_token_is_not_handed_out_again(world: TokenWorld) -> None:
    cache = world.process()
    first = cache.get()
    cache.refused(first)
    assert cache.get().value != first.value
    assert world.recorder.total(catalogue.TOKEN_REFUSALS) == 1


def test_a_late_refusal_of_an_old_token_leaves_the_newer_one(world: TokenWorld) -> None:
    cache = world.process()
    old = cache.get()
    cache.refused(old)
    new = cache.get()
    cache.refused(old)
    world.pass_time(LOCAL_LIFE + 1)
    assert cache.get().value == new.value
    assert world.endpoint.requests == 2


def test_refusals_from_many_threads_cost_one_request(world: TokenWorld) -> None:
    cache = world.process(clock=SystemClock())
    old = cache.get()
    together = threading.Barrier(_THREADS)

    def refuse_and_get() -> Token:
        together.wait(5)
        cache.refused(old)
        return cache.get()

    with ThreadPoolExecutor(_THREADS) as pool:
        values = {call.result().value for call in [pool.submit(refuse_and_get) for _ in range(_THREADS)]}
    assert (len(values), world.endpoint.requests) == (1, 2)


def test_a_failed_request_is_reported_and_not_repeated_at_once(world: TokenWorld) -> None:
    cache = world.process()
    world.endpoint.failure = TransientError(Reason.AUTH_REJECTED, "no")
    for _ in range(3):
        with pytest.raises(JobError) as failure:
            cache.get()
        assert failure.value.reason is Reason.AUTH_REJECTED
    assert world.endpoint.requests == 1
    assert world.recorder.total(catalogue.TOKEN_FETCHES, outcome="auth_rejected") == 1
    world.endpoint.failure = None
    world.pass_time(1.1)
    assert cache.get().value
    assert world.recorder.total(catalogue.TOKEN_FETCHES, outcome="ok") == 1


def test_a_retry_after_of_the_endpoint_is_respected(world: TokenWorld) -> None:
    cache = world.process()
    world.endpoint.failure = TransientError(Reason.UPSTREAM_UNAVAILABLE, "busy", retry_after=30)
    for seconds in (0, 28):
        world.pass_time(seconds)
        with pytest.raises(TransientError):
            cache.get()
    assert world.endpoint.requests == 1
    world.endpoint.failure = None
    world.pass_time(3)
    assert cache.get().value


def test_a_retry_after_of_hours_is_cut_short(world: TokenWorld) -> None:
    cache = world.process()
    world.endpoint.failure = TransientError(Reason.UPSTREAM_UNAVAILABLE, "busy", retry_after=float("inf"))
    with pytest.raises(TransientError):
        cache.get()
    world.endpoint.failure = None
    world.pass_time(61)
    assert cache.get().value


def test_a_token_that_is_still_good_serves_while_the_endpoint_is_out_of_order(world: TokenWorld) -> None:
    cache = world.process()
    old = cache.get()
    world.endpoint.failure = TransientError(Reason.UPSTREAM_UNAVAILABLE, "away")
    for seconds in (241, 0.1, 2, LOCAL_LIFE + 1, 30):
        world.pass_time(seconds)
        assert cache.get().value == old.value
    world.pass_time(20)
    with pytest.raises(TransientError):
        cache.get()
    world.endpoint.failure = None
    world.pass_time(2)
    assert cache.get().value != old.value


@pytest.mark.parametrize("expires_in", [-5.0, 0.0, 0.001])
def test_a_token_that_has_expired_on_arrival_is_fetched_for_each_call(
    world: TokenWorld, expires_in: float
) -> None:
    world.endpoint.expires_in = expires_in
    cache = world.process()
    assert cache.get().value
    world.pass_time(0.001)
    assert cache.get().value
    assert world.endpoint.requests == 2


@pytest.mark.parametrize(
    ("expires_in", "fresh_for"), [(1, 0.5), (12, 6), (60, 30), (120, 60), (300, 240), (3600, 2880)]
)
def test_a_short_lived_token_is_not_renewed_at_once(
    world: TokenWorld, expires_in: float, fresh_for: float
) -> None:
    world.endpoint.expires_in = expires_in
    cache = world.process()
    first = cache.get()
    world.pass_time(fresh_for * 0.9)
    assert cache.get().value == first.value
    world.pass_time(fresh_for * 0.2)
    assert cache.get().value != first.value


def test_a_token_for_a_century_is_kept(world: TokenWorld) -> None:
    world.endpoint.expires_in = 3.2e9
    cache = world.process()
    first = cache.get()
    world.pass_time(1e8)
    assert cache.get().value == first.value


def test_the_tokens_age_is_told_while_it_is_good(world: TokenWorld) -> None:
    cache = world.process()
    assert cache.age() is None
    cache.get()
    world.pass_time(100)
    assert cache.age() == pytest.approx(100)
    world.pass_time(195)
    assert cache.age() is None, "a token that is too old to be used must have no age"


def test_waits_are_measured_where_the_token_was_not_at_hand(world: TokenWorld) -> None:
    cache = world.process()
    for _ in range(3):
        cache.get()
    assert len(world.recorder.observed(catalogue.TOKEN_WAIT_SECONDS)) == 1
    assert len(world.recorder.observed(catalogue.TOKEN_FETCH_SECONDS)) == 1
    world.endpoint.failure = TransientError(Reason.UPSTREAM_UNAVAILABLE, "away")
    with pytest.raises(JobError):
        world.process().get() if world.client is None else _without_token(world).get()
    assert len(world.recorder.observed(catalogue.TOKEN_FETCH_SECONDS)) == 2, "a failed request counts, too"


def _without_token(world: TokenWorld) -> TokenCache:
    world.pass_time(400)
    return world.process()
