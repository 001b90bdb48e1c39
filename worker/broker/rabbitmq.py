"""How our own connections to RabbitMQ are opened, and their failures. Celery opens its connection itself."""

import socket

import kombu
from kombu.exceptions import OperationalError

from worker.network.trust import Trust


def connect(
    url: str,
    trust: Trust | None,
    *,
    connect_timeout: float,
    answer_timeout: float | None = None,
    confirms: bool = False,
) -> kombu.Connection:
    """A connection, opened when it is used first.

    Args:
        url: The broker. Secret.
        trust: For TLS; None without.
        connect_timeout: Seconds for TCP, TLS and AMQP's greeting.
        answer_timeout: Seconds for each answer; None where the caller polls.
        confirms: Whether publishes wait for the broker's confirmation.
    """
    answers = (
        {} if answer_timeout is None else dict.fromkeys(("read_timeout", "write_timeout"), answer_timeout)
    )
    return kombu.Connection(
        url,
        ssl=trust.for_rabbitmq() if trust else False,
        heartbeat=0,
        connect_timeout=connect_timeout,
        transport_options={
            **({"confirm_publish": True} if confirms else {}),
            **answers,
            "socket_settings": keepalive(),
        },
    )


def failures(connection: kombu.Connection) -> tuple[type[BaseException], ...]:
    """The exceptions by which the libraries say that the broker is away, or refuses."""
    return (*connection.connection_errors, *connection.channel_errors, OperationalError, OSError)


def keepalive() -> dict[int, int]:
    """TCP options by which a dead peer is noticed in about 35 s, without AMQP heartbeats.

    Heartbeats are off on every connection: Celery sends none while it drains, and a broker that
    misses them takes the deliveries back.
    """
    wanted = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
