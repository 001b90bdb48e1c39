"""The faults of a soak test that have one cause. Each function causes a fault and ends it again."""

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
    """Everything that faults can affect.

    Attributes:
        fleet: The workers.
        sandbox: The service.
        redis: The Redis for claims, results and tokens; without RabbitMQ also the broker.
        rabbitmq: The broker, if it is RabbitMQ.
        relay: The relay between the workers and the broker.
        ehr: The producer and consumer.
        chance: The random numbers of this run.
    """

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
    """Kill a worker by SIGKILL, and start another."""
    world.fleet.replace(kill=True)


def stop_a_worker(world: World) -> None:
    """Stop a worker by SIGTERM, and start another."""
    world.fleet.replace(kill=False)


def restart_the_broker(world: World) -> None:
    """Kill the broker, and start it again after four seconds."""
    world.broker.kill()
    time.sleep(4)
    world.broker.start()


def cut_every_connection(world: World) -> None:
    """Close all connections of the broker's clients."""
    if world.rabbitmq:
        world.rabbitmq.close_all_connections("soak")
    else:
        with world.redis.cli_client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def freeze_redis(world: World) -> None:
    """Make Redis answer no client for six seconds."""
    with world.redis.frozen():
        time.sleep(6)


def empty_redis(world: World) -> None:
    """Delete all data in Redis. If Redis is the broker, freeze it instead, because it holds the queues."""
    if world.rabbitmq:
        with world.redis.cli_client() as client:
            client.flushall()
    else:
        freeze_redis(world)


def take_the_auth_server_away(world: World) -> None:
    """Revoke all tokens, and refuse new ones for five seconds."""
    world.sandbox.fault("auth_down", how="cut")
    world.sandbox.fault("revoke_tokens")
    time.sleep(5)
    world.sandbox.clear_faults("auth_down")


def fail_requests(world: World) -> None:
    """Make ten requests to the API fail."""
    status = world.chance.choice((429, 500, 502, 503))
    world.sandbox.fault("api_error", operation="create_interaction", status=status, retry_after=1, count=10)


def lose_created_interactions(world: World) -> None:
    """Create five interactions whose answers are lost."""
    world.sandbox.fault("lost_create", count=5)


def drop_sockets(world: World) -> None:
    """Interrupt ten streams."""
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
