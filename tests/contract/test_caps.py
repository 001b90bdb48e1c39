"""Caps on tenants' streams, on a real Redis: which job gets a place, which waits, and which goes aside."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.contract.waiting import eventually
from tests.fakes import FakeRecorder
from worker.concurrency.interrupt import Interrupt, Interrupted, InterruptReason
from worker.jobs.claims import CapReached
from worker.store.ledger import TenantCaps
from worker.telemetry import catalogue


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def recorder() -> FakeRecorder:
    return FakeRecorder()


def caps(client: redis.Redis, recorder: FakeRecorder, slots: int = 4, **most: int) -> TenantCaps:
    return TenantCaps(client, most, slots=slots, lease=30, recorder=recorder)


def test_one_tenants_full_cap_does_not_hold_up_another(client: redis.Redis, recorder: FakeRecorder) -> None:
    tenants = caps(client, recorder, slots=1, a=1, b=1, free=0)
    with tenants.admitted("a", "one", Interrupt()), ExitStack() as stack:
        assert tenants.is_full("a")
        with pytest.raises(CapReached):
            stack.enter_context(tenants.admitted("a", "two", Interrupt()))
        for tenant in "b", "free", "nobody's", None:
            assert not tenants.is_full(tenant)
            stack.enter_context(tenants.admitted(tenant, f"job of {tenant}", Interrupt()))
        assert tenants.running() == {("a",): 1.0, ("b",): 1.0, ("free",): 1.0}
    assert tenants.running() == {("a",): 0.0, ("b",): 0.0, ("free",): 0.0}
    assert not tenants.is_full("a")
    assert recorder.total(catalogue.ADMISSIONS_REFUSED, tenant="a") == 2


def test_the_cap_holds_across_processes(client: redis.Redis, recorder: FakeRecorder) -> None:
    here, there = caps(client, recorder, slots=1, a=1, b=0), caps(client, recorder, slots=1, a=1, b=0)
    with here.admitted("a", "one", Interrupt()):
        assert there.is_full("a")


def test_a_place_that_nobody_renews_is_free_again(client: redis.Redis, recorder: FakeRecorder) -> None:
    tenants = caps(client, recorder, slots=1, a=1, b=0)
    client.zadd("corti:v1:cap:a", {"of a worker that died": 1})
    assert not tenants.is_full("a")
    with tenants.admitted("a", "one", Interrupt()):
        client.zadd("corti:v1:cap:a", {"one": 1})
        tenants.renew()
        assert tenants.is_full("a")


def test_of_several_tenants_some_jobs_wait_in_their_slots_and_the_others_step_aside(
    client: redis.Redis, recorder: FakeRecorder
) -> None:
    tenants = caps(client, recorder, slots=4, a=1, b=1)  # one job of each tenant may wait in its slot
    interrupt = Interrupt()
    ended = threading.Event()

    def wait() -> None:
        try:
            with tenants.admitted("a", "two", interrupt):
                pass
        except Interrupted:
            ended.set()

    with tenants.admitted("a", "one", Interrupt()):
        assert not tenants.is_full("a")
        waiting = threading.Thread(target=wait)
        waiting.start()
        eventually(lambda: tenants.is_full("a"))
        interrupt.trigger(InterruptReason.DRAIN)
        waiting.join(10)
        assert ended.is_set()
        assert not tenants.is_full("a")


def test_a_tenant_that_is_alone_waits_with_all_its_jobs(client: redis.Redis, recorder: FakeRecorder) -> None:
    tenants = caps(client, recorder, slots=2, base=1)
    entered = threading.Event()

    def wait() -> None:
        with tenants.admitted("base", "two", Interrupt()):
            entered.set()

    with tenants.admitted("base", "one", Interrupt()):
        waiting = threading.Thread(target=wait)
        waiting.start()
        eventually(lambda: recorder.total(catalogue.ADMISSIONS_REFUSED, tenant="base") > 0)
        assert not tenants.is_full("base")
    assert entered.wait(10)
    waiting.join(10)


def test_without_redis_no_stream_is_counted_and_no_job_waits(recorder: FakeRecorder) -> None:
    """When Redis is away, jobs run without a cap: a consultation matters more than a contract's limit."""
    nowhere = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    tenants = caps(nowhere, recorder, slots=1, a=1, b=1)
    with tenants.admitted("a", "one", Interrupt()), tenants.admitted("a", "two", Interrupt()):
        assert not tenants.is_full("a")
