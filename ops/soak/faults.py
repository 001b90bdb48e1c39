"""What a soak breaks, and the faults that break one thing for a moment and mend it again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from ops.lib.servers import RabbitMqServer, RedisServer
from ops.sandbox.launch import Sandbox
from ops.soak.ehr import Ehr
from ops.soak.fleet import Fleet
from ops.soak.relay import Relay


@dataclass(frozen=True)
class World:
    """Everything that can be broken."""

    fleet: Fleet
    sandbox: Sandbox
    redis: RedisServer
    rabbitmq: RabbitMqServer | None
    relay: Relay
    ehr: Ehr
    chance: random.Random

    @property
    def broker(self) -> RabbitMqServer | RedisServer:
        """The broker's server."""
        return self.rabbitmq or self.redis


Fault = Callable[[World], None]


def kill_a_worker(world: World) -> None:
    """SIGKILL; another starts in its place."""
    world.fleet.replace(kill=True)


def stop_a_worker(world: World) -> None:
    """SIGTERM; another starts in its place."""
    world.fleet.replace(kill=False)


def restart_the_broker(world: World) -> None:
    """The broker is away for four seconds."""
    world.broker.kill()
    time.sleep(4)
    world.broker.start()


def cut_every_connection(world: World) -> None:
    """The broker stays, its clients' connections do not."""
    if world.rabbitmq:
        world.rabbitmq.close_all_connections("soak")
    else:
        with world.redis.cli_client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def freeze_redis(world: World) -> None:
    """Redis answers nobody for six seconds."""
    with world.redis.frozen():
        time.sleep(6)


def empty_redis(world: World) -> None:
    """Beside RabbitMQ, Redis comes back with nothing in it; as the broker it keeps its queues."""
    if world.rabbitmq:
        with world.redis.cli_client() as client:
            client.flushall()
    else:
        freeze_redis(world)


def take_the_auth_server_away(world: World) -> None:
    """No tokens for five seconds, and none of the old ones is good."""
    world.sandbox.fault("auth_down", how="cut")
    world.sandbox.fault("revoke_tokens")
    time.sleep(5)
    world.sandbox.clear_faults("auth_down")


def fail_requests(world: World) -> None:
    """The API answers with errors for a while."""
    status = world.chance.choice((429, 500, 502, 503))
    world.sandbox.fault("api_error", operation="create_interaction", status=status, retry_after=1, count=10)


def lose_created_interactions(world: World) -> None:
    """The answers to creates get lost."""
    world.sandbox.fault("lost_create", count=5)


def drop_sockets(world: World) -> None:
    """Streams break off."""
    world.sandbox.fault("drop_socket", after_seconds=1, count=10)


SINGLE: tuple[Fault, ...] = (
    kill_a_worker,
    stop_a_worker,
    restart_the_broker,
    cut_every_connection,
    freeze_redis,
    empty_redis,
    take_the_auth_server_away,
    fail_requests,
    lose_created_interactions,
    drop_sockets,
)
