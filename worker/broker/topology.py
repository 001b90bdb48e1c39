"""The queues: names and arguments. Pure data; a changed argument breaks running deployments.

==================  =====================================  ==========================================
name                RabbitMQ                               Redis
==================  =====================================  ==========================================
``corti.jobs``      durable quorum queue                   list; producers LPUSH, we take from the right
``corti.work``      durable quorum queue, Celery's own     list and kombu's unacked hash, Celery's own
``corti.results``   topic exchange and durable queue       list; we LPUSH, consumers BRPOP
``corti.dead``      durable quorum queue                   list; we LPUSH
``corti.jobs.aside`` quorum queue whose messages move to   zset: body -> time (s) to come back
                    ``corti.jobs`` when their time is up
==================  =====================================  ==========================================
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

JOBS: Final = "corti.jobs"
WORK: Final = "corti.work"
RESULTS: Final = "corti.results"
DEAD: Final = "corti.dead"

#: Headers of the messages on `corti.work`: when the door accepted the job (ms since 1970), its trace, and how
#: many of its deliveries broke by a fault of ours.
ACCEPTED_AT, TRACEPARENT, BROKEN = "corti_accepted_at", "traceparent", "corti_broken"
#: Header in which RabbitMQ counts the deliveries of a message on a quorum queue before this one.
DELIVERY_COUNT = "x-delivery-count"

#: How long a delivery waits aside whose job somebody else is running. Long enough that a duplicate of
#: an hour's job costs next to nothing, short enough that it is at hand soon if that somebody dies.
ASIDE_SECONDS = 15

#: Redeliveries after which RabbitMQ itself gives a message up. Our own attempts end long before; this
#: catches what kills a worker before it can count. Every requeue counts, so it must not be small.
DELIVERY_LIMIT = 50

#: A message that RabbitMQ gives up (delivery limit) must not vanish: it moves to `corti.dead`, and
#: leaves its queue only when it has arrived there.
_TO_THE_DEAD: Mapping[str, object] = {
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
_QUORUM: Mapping[str, object] = {"x-queue-type": "quorum"}


@dataclass(frozen=True, slots=True)
class Lane:
    """A set of queues with workers of their own, so that urgent jobs never wait behind routine ones.

    Priorities within one queue mean opposite things on Redis and RabbitMQ, and none at all on quorum
    queues before RabbitMQ 4.3 (pitfalls, 3.8). Results and dead letters are the same for all lanes.

    Attributes:
        name: Appended to the queues' names; empty for the lane that needs no name.
    """

    name: str = ""

    @property
    def jobs(self) -> str:
        """Where producers put messages."""
        return self._named(JOBS)

    @property
    def work(self) -> str:
        """Celery's own queue."""
        return self._named(WORK)

    @property
    def aside(self) -> str:
        """Where deliveries wait that cannot run now."""
        return f"{self.jobs}.aside"

    def _named(self, queue: str) -> str:
        return f"{queue}.{self.name}" if self.name else queue


MAIN_LANE: Final = Lane()


def quorum_arguments() -> dict[str, object]:
    """Arguments of `corti.results`, `corti.dead` and the queues that jobs name in `reply_to`."""
    return dict(_QUORUM)


def jobs_arguments() -> dict[str, object]:
    """Arguments of `corti.jobs`."""
    return {**_QUORUM, **_TO_THE_DEAD}


def aside_arguments(lane: Lane) -> dict[str, object]:
    """Arguments of a lane's `corti.jobs.aside`."""
    return {
        **_QUORUM,
        "x-message-ttl": ASIDE_SECONDS * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": lane.jobs,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def work_arguments(consumer_timeout: int) -> dict[str, object]:
    """Arguments of `corti.work`.

    Args:
        consumer_timeout: Seconds a delivery may stay unacknowledged; RabbitMQ enforces it from 3.12.
    """
    return {**_QUORUM, **_TO_THE_DEAD, "x-consumer-timeout": consumer_timeout * 1000}


def keepalive() -> dict[int, int]:
    """TCP options by which a dead peer is noticed in about 35 s, without AMQP heartbeats.

    Heartbeats are off on every connection: Celery sends none while it drains, and a broker that
    misses them takes the deliveries back (pitfalls, 3.5).
    """
    wanted = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
