"""The token cache of several processes with one Redis."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from ops.lib.servers import RedisServer
from tests.contract.token_world import FETCH_TIMEOUT, LOCAL_LIFE, LOCK_LIFE, TokenWorld, new_key
from worker.clock import SystemClock
from worker.concurrency.background import ThreadWaiter
from worker.contract.errors import Reason, TransientError
from worker.store.token_cache import TokenCache
from worker.telemetry import catalogue

_OLD, _NEW = new_key(), new_key()


@pytest.fixture(params=["clear", "encrypted"])
def world(request: pytest.FixtureRequest, redis_url: str) -> Iterator[TokenWorld]:
    with redis.Redis.from_url(redis_url) as client:
        yield TokenWorld(client, (_OLD,) if request.param == "encrypted" else ())


def test_a_second_process_uses_the_token_of_the_first(world: TokenWorld) -> None:
    assert world.process().get().value == world.process().get().value
    assert world.endpoint.requests == 1
    assert world.recorder.total(catalogue.TOKEN_HITS, layer="redis") == 1


def test_processes_that_start_together_make_one_request(world: TokenWorld) -> None:
    caches = [world.process(clock=SystemClock(), waiter=ThreadWaiter()) for _ in range(6)]
    world.endpoint.gate.clear()
    with ThreadPoolExecutor(len(caches)) as pool:
        calls = [pool.submit(cache.get) for cache in caches]
        assert world.endpoint.asked.wait(5)
        world.endpoint.gate.set()
        values = {call.result().value for call in calls}
    assert (len(values), world.endpoint.requests) == (1, 1)


def test_while_one_process_renews_the_others_keep_the_old_token(world: TokenWorld) -> None:
    one, other = world.process(), world.process()
    old = one.get()
    world.pass_time(241)
    world.endpoint.gate.clear()
    world.endpoint.asked.clear()
    with ThreadPoolExecutor(1) as pool:
        renewal = pool.submit(one.get)
        assert world.endpoint.asked.wait(5)
        assert other.get().value == old.value
        assert world.waited == 0, "a cached token must be given at once"
        world.endpoint.gate.set()
        new = renewal.result()
    world.pass_time(LOCAL_LIFE + 1)
    assert other.get().value == new.value
    assert world.endpoint.requests == 2


def test_a_refusal_reaches_the_other_process_within_seconds(world: TokenWorld) -> None:
    one, other = world.process(), world.process()
    old = one.get()
    assert other.get().value == old.value
    one.refused(old)
    new = one.get()
    world.pass_time(LOCAL_LIFE + 0.1)
    assert other.get().value == new.value != old.value
    assert world.endpoint.requests == 2


def test_a_late_refusal_in_another_process_leaves_the_newer_token(world: TokenWorld) -> None:
    one, late = world.process(), world.process()
    old = one.get()
    assert late.get().value == old.value
    one.refused(old)
    new = one.get()
    late.refused(old)
    assert late.get().value == new.value
    assert world.process().get().value == new.value
    assert world.endpoint.requests == 2


def test_a_process_that_died_while_it_fetched_does_not_stop_the_others(world: TokenWorld) -> None:
    assert world.client is not None
    world.process().get()
    (key,) = world.client.scan_iter("corti:v1:token:*")
    world.client.delete(key)
    world.client.set(key + b":lock", "somebody who died", px=round(LOCK_LIFE * 1000))
    assert world.process().get().value
    assert LOCK_LIFE * 0.8 < world.waited <= LOCK_LIFE + 0.1
    assert world.endpoint.requests == 2


def test_the_lock_outlives_a_request_but_not_its_holder(world: TokenWorld) -> None:
    assert world.client is not None
    world.endpoint.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(world.process().get)
        assert world.endpoint.asked.wait(5)
        (lock,) = world.client.scan_iter("corti:v1:token:*:lock")
        life: Any = world.client.pttl(lock)
        world.endpoint.gate.set()
        fetching.result()
    assert FETCH_TIMEOUT * 1000 < life <= LOCK_LIFE * 1000


def test_a_process_that_was_overtaken_before_it_got_the_lock_does_not_fetch(
    world: TokenWorld, redis_url: str
) -> None:
    overtaking: list[TokenCache] = []

    class Overtaken(redis.Redis):
        """A client before whose `set` another process has taken the lock, fetched a token and let it go."""

        def set(self, *args: Any, **options: Any) -> Any:
            if overtaking:
                overtaking.pop().get()
            return super().set(*args, **options)

    overtaking.append(world.process())
    with Overtaken.from_url(redis_url) as client:
        world.client = client
        assert world.process().get().value
    assert (world.endpoint.requests, overtaking) == (1, [])


def test_the_lock_is_free_again_after_a_failed_request(world: TokenWorld) -> None:
    world.endpoint.failure = TransientError(Reason.UPSTREAM_UNAVAILABLE, "away")
    with pytest.raises(TransientError):
        world.process().get()
    world.endpoint.failure = None
    assert world.process().get().value
    assert world.waited == 0


def test_a_process_in_its_cool_down_takes_the_token_that_another_got(world: TokenWorld) -> None:
    unlucky = world.process()
    world.endpoint.failure = TransientError(Reason.UPSTREAM_UNAVAILABLE, "busy", retry_after=30)
    with pytest.raises(TransientError):
        unlucky.get()
    world.endpoint.failure = None
    token = world.process().get()
    assert unlucky.get().value == token.value


def test_a_record_disappears_with_its_token(world: TokenWorld) -> None:
    assert world.client is not None
    world.process().get()
    (key,) = world.client.scan_iter("corti:v1:token:*")
    life: Any = world.client.pttl(key)
    assert 295_000 < life <= 300_000


def test_only_encryption_hides_the_token_in_redis(world: TokenWorld) -> None:
    token = world.process().get()
    assert (token.value.encode() in world.stored()) is not bool(world.keys)


def test_neither_client_nor_endpoint_are_named_in_redis(world: TokenWorld) -> None:
    world.process().get()
    assert b"auth.test" not in world.stored()


@pytest.mark.parametrize(
    ("written_with", "read_with", "readable"),
    [
        ((_OLD,), (_NEW, _OLD), True),
        ((_NEW, _OLD), (_NEW,), True),
        ((_NEW, _OLD), (_OLD,), False),
        ((_OLD,), (_NEW,), False),
        ((), (_NEW,), False),
        ((_OLD,), (), False),
    ],
)
def test_keys_rotate_and_an_unknown_key_means_a_new_token(
    redis_url: str, written_with: tuple[str, ...], read_with: tuple[str, ...], *, readable: bool
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        world = TokenWorld(client)
        written = world.process(keys=written_with).get()
        read = world.process(keys=read_with).get()
    assert (read.value == written.value) is readable
    assert world.endpoint.requests == (1 if readable else 2)


def test_processes_with_different_keys_keep_a_token_each_and_say_so(redis_url: str) -> None:
    """If they shared a record, each would replace the other's every few seconds and request a new token."""
    with redis.Redis.from_url(redis_url) as client:
        world = TokenWorld(client)
        ours, theirs = world.process(keys=(_NEW,)), world.process(keys=(_OLD,))
        for _ in range(10):
            ours.get()
            theirs.get()
            world.pass_time(LOCAL_LIFE + 1)
        assert world.endpoint.requests == 2
        assert world.recorder.total(catalogue.TOKEN_CACHE_ERRORS) == 10


def test_a_record_of_nonsense_is_as_good_as_none(world: TokenWorld) -> None:
    assert world.client is not None
    world.process().get()
    (key,) = world.client.scan_iter("corti:v1:token:*")
    world.client.hset(key, "value", b"\xff\xfe")
    assert world.process().get().value
    world.client.hset(key, "lifetime", "long")
    assert world.process().get().value


def test_without_redis_each_process_fetches_for_itself_until_it_is_back(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url, socket_timeout=1) as client:
        # Redis is stopped later, so its records cannot be aged: only the processes' clock moves.
        world = TokenWorld(client)
        one, other = world.process(), world.process()
        first = one.get()
        own_redis.stop()
        world.clock.wait(LOCAL_LIFE + 1)
        assert one.get().value == first.value, "the process's own copy must still serve"
        second = other.get()
        assert second.value != first.value
        one.refused(first)
        assert one.get().value != first.value
        assert world.recorder.total(catalogue.TOKEN_CACHE_ERRORS) >= 3
        assert world.waited == 0
        own_redis.start()
        world.clock.wait(LOCAL_LIFE + 1)
        shared = one.get()
        assert world.process().get().value == shared.value


def test_a_redis_that_hangs_costs_its_time_out_once_in_a_while(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url, socket_timeout=0.2) as client:
        world = TokenWorld(client)
        cache = world.process()
        token = cache.get()
        with own_redis.frozen():
            world.clock.wait(LOCAL_LIFE + 1)
            assert [cache.get().value for _ in range(50)] == [token.value] * 50
    assert world.recorder.total(catalogue.TOKEN_CACHE_ERRORS) == 1
