"""Faults of a soak test that combine two causes, or that last."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis

from ops.soak.faults import SINGLE, Fault, World, cut_every_connection

#: Number of invalid messages: as many as can be put within three seconds. They are put just before an alarm,
#: because during the alarm the broker accepts no messages, neither these nor their dead letters.
_INVALID = 120
#: Longer than the half minute after which a thread without a sign of life fails `/livez`.
_ALARM_SECONDS = 40
_SKEW = 600.0


def drain_and_cut_every_connection(world: World) -> None:
    """A worker drains, and all connections to the broker break meanwhile."""
    world.fleet.replace(kill=False)
    time.sleep(world.chance.uniform(0.2, 1.0))
    cut_every_connection(world)


def drain_while_the_broker_is_frozen(world: World) -> None:
    """The broker answers no client for six seconds while a worker drains."""
    world.fleet.replace(kill=False)
    time.sleep(world.chance.uniform(0.0, 0.5))
    with world.broker.frozen():
        time.sleep(6)


def kill_a_worker_while_redis_restarts(world: World) -> None:
    """A worker is killed, and its jobs must be taken over although Redis restarts."""
    world.fleet.replace(kill=True)
    world.redis.kill()
    time.sleep(world.chance.uniform(0.0, 2.0))
    world.redis.start()


def raise_an_alarm_with_invalid_messages(world: World) -> None:
    """The broker lacks memory and accepts nothing for 40 s while invalid messages wait for the door."""
    _put_invalid(world)
    with _no_memory(world):
        time.sleep(_ALARM_SECONDS)


def fill_the_disk_with_invalid_messages(world: World) -> None:
    """RabbitMQ lacks disk space for 8 s while invalid messages wait; Redis instead lacks memory for 12 s."""
    _put_invalid(world)
    if world.rabbitmq is None:
        with _out_of_memory(world):
            time.sleep(12)
        return
    world.rabbitmq.ctl("set_disk_free_limit", "900000GB")
    try:
        time.sleep(8)
    finally:
        world.rabbitmq.ctl("set_disk_free_limit", "50MB")


def fill_redis(world: World) -> None:
    """Redis lacks memory for six seconds: it accepts no new data, and keeps its data."""
    with _out_of_memory(world):
        time.sleep(6)


def put_a_clock_forward(world: World) -> None:
    """A worker is replaced by one whose clock is ten minutes fast."""
    world.fleet.replace(kill=False, skew=_SKEW)


def put_a_clock_back(world: World) -> None:
    """A worker is replaced by one whose clock is ten minutes slow."""
    world.fleet.replace(kill=False, skew=-_SKEW)


def slow_the_broker_down(world: World) -> None:
    """Each round trip to the broker takes 200 ms longer for ten seconds."""
    world.relay.delay = 0.2
    try:
        time.sleep(10)
    finally:
        world.relay.delay = 0.0


def _put_invalid(world: World) -> None:
    world.ehr.put_invalid(_INVALID)
    time.sleep(0.2)


@contextmanager
def _no_memory(world: World) -> Iterator[None]:
    if world.rabbitmq is None:
        with _out_of_memory(world):
            yield
        return
    before = world.rabbitmq.ctl("eval", "vm_memory_monitor:get_vm_memory_high_watermark().").strip()
    world.rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        yield
    finally:
        world.rabbitmq.ctl("set_vm_memory_high_watermark", before)


@contextmanager
def _out_of_memory(world: World) -> Iterator[None]:
    with world.redis.cli_client() as client:
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", used + 20_000)
        try:
            yield
        finally:
            # If Redis cannot be reached, it has been restarted or stopped, and the limit is gone.
            with suppress(redis.ConnectionError):
                client.config_set("maxmemory", 0)


DOUBLE: tuple[Fault, ...] = (
    drain_and_cut_every_connection,
    drain_while_the_broker_is_frozen,
    kill_a_worker_while_redis_restarts,
    raise_an_alarm_with_invalid_messages,
    fill_the_disk_with_invalid_messages,
    fill_redis,
    put_a_clock_forward,
    put_a_clock_back,
    slow_the_broker_down,
)

EVERY = (*SINGLE, *DOUBLE)
