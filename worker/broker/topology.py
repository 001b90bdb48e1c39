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
``corti.undelivered`` durable quorum queue: what RabbitMQ  not there
                    gave up on ``corti.jobs`` and
                    ``corti.work``; the door takes it
==================  =====================================  ==========================================

A queue may exist already, with other arguments: declared by another program, or by an earlier version of the
worker. Such a queue is used as it is (worker/broker/declaring.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

JOBS: Final = "corti.jobs"
WORK: Final = "corti.work"
RESULTS: Final = "corti.results"
DEAD: Final = "corti.dead"
UNDELIVERED: Final = "corti.undelivered"

#: Headers of the messages on `corti.work` and `corti.jobs.aside`: when a door first accepted the job (ms
#: since 1970), its trace, and how many of its deliveries failed by a bug of ours.
ACCEPTED_AT, TRACEPARENT, BROKEN = "corti_accepted_at", "traceparent", "corti_broken"
#: Header in which RabbitMQ counts the deliveries of a message on a quorum queue before this one.
DELIVERY_COUNT = "x-delivery-count"

#: Seconds until a delivery comes back that was set aside, for instance because another worker runs its job.
#: Long enough that a duplicate of an hour's job costs next to nothing, short enough that the delivery is back
#: soon if that worker dies.
ASIDE_SECONDS = 15

#: Redeliveries after which RabbitMQ itself gives a message up. Our own attempts end long before. The
#: limit is for messages that kill a worker before it can count. Every requeue counts, so the limit must not
#: be small.
DELIVERY_LIMIT = 50

_QUORUM: Mapping[str, object] = {"x-queue-type": "quorum"}

#: Milliseconds after which RabbitMQ deletes a reply queue that we declared, with its messages, if nobody
#: consumes from it: four weeks, longer than any outage of a consumer that is still wanted. RabbitMQ accepts
#: less than 2**32.
REPLY_EXPIRES_MS = 28 * 86_400_000

#: Without this argument RabbitMQ 4 gives a message up after 20 deliveries. No message may get lost from
#: `corti.undelivered`, and RabbitMQ 3.x and 4 have no common value for "never".
_PRACTICALLY_NEVER = 1_000_000


@dataclass(frozen=True, slots=True)
class Lane:
    """A set of queues with workers of their own, so that urgent jobs never wait behind routine ones.

    Priorities within one queue mean opposite things on Redis and RabbitMQ, and none at all on quorum
    queues before RabbitMQ 4.3. Results and dead letters are the same for all lanes.

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
    def undelivered(self) -> str:
        """Where RabbitMQ puts messages that it gives up."""
        return self._named(UNDELIVERED)

    @property
    def aside(self) -> str:
        """Where deliveries that cannot run now wait."""
        return f"{self.jobs}.aside"

    def _named(self, queue: str) -> str:
        return f"{queue}.{self.name}" if self.name else queue


MAIN_LANE: Final = Lane()


def quorum_arguments() -> dict[str, object]:
    """Arguments of `corti.results` and `corti.dead`."""
    return dict(_QUORUM)


def reply_arguments() -> dict[str, object]:
    """Arguments of a queue that a job names in `reply_to`, where nobody has declared it."""
    return {**_QUORUM, "x-expires": REPLY_EXPIRES_MS}


def jobs_arguments(lane: Lane) -> dict[str, object]:
    """Arguments of a lane's `corti.jobs`."""
    return {**_QUORUM, **_given_up(lane)}


def undelivered_arguments() -> dict[str, object]:
    """Arguments of `corti.undelivered`."""
    return {**_QUORUM, "x-delivery-limit": _PRACTICALLY_NEVER}


def _given_up(lane: Lane) -> dict[str, object]:
    """Arguments that move a message that RabbitMQ gives up to `corti.undelivered`.

    No message may vanish: it leaves its queue only when it has arrived there.
    """
    return {
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": lane.undelivered,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


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


def work_arguments(lane: Lane, consumer_timeout: int) -> dict[str, object]:
    """Arguments of a lane's `corti.work`.

    Args:
        lane: The lane.
        consumer_timeout: Seconds a delivery may stay unacknowledged; RabbitMQ enforces it from 3.12.
    """
    return {**_QUORUM, **_given_up(lane), "x-consumer-timeout": consumer_timeout * 1000}
