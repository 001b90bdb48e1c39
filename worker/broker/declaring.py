"""Declaring queues on RabbitMQ where somebody may have declared them before, with other arguments.

RabbitMQ refuses such a declaration and closes its channel. The queue may hold messages, which we must not
delete. So the queue is used as it is, and the log tells the operator once what the consequences are.
"""

from collections.abc import Mapping
from typing import Any, Final

import kombu
import structlog
from amqp.exceptions import AccessRefused, PreconditionFailed

from worker.broker.topology import undelivered_arguments

log = structlog.get_logger(__name__)

_TARGET: Final = "x-dead-letter-routing-key"
#: Names of queues about which this process has warned. Several connections declare the same queue, again and
#: again.
_told: set[str] = set()


def declare(connection: Any, name: str, arguments: Mapping[str, object]) -> None:
    """Make sure that a durable queue exists.

    Args:
        connection: kombu's or py-amqp's. Each declaration gets its own channel: a refusal closes the channel.
        name: The queue.
        arguments: The arguments to make it with.

    Raises:
        AMQPError: It does not exist and cannot be made.
    """
    try:
        _ask(connection, name, arguments)
    except PreconditionFailed:
        _warn(name)
    except AccessRefused:
        # A user that may not make queues can still use one that is there.
        _ask(connection, name, arguments, passive=True)


def declare_with_target(connection: Any, name: str, arguments: Mapping[str, object]) -> None:
    """Declare `corti.undelivered`, and then a queue from which RabbitMQ moves given-up messages there."""
    declare(connection, str(arguments[_TARGET]), undelivered_arguments())
    declare(connection, name, arguments)


class WorkQueue(kombu.Queue):  # type: ignore[misc]  # kombu has no types
    """Celery's queue, declared by `declare_with_target`.

    Celery declares the queue wherever it uses it, and would not start if RabbitMQ refused the declaration.
    """

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:  # noqa: ARG002
        """See `kombu.Queue`."""
        declare_with_target((channel or self.channel).connection, self.name, self.queue_arguments)


def _ask(connection: Any, name: str, arguments: Mapping[str, object], *, passive: bool = False) -> None:
    channel = connection.channel()
    try:
        channel.queue_declare(
            name, durable=True, auto_delete=False, arguments=dict(arguments), passive=passive
        )
    finally:
        if channel.is_open:
            channel.close()


def _warn(name: str) -> None:
    if name in _told:
        return
    _told.add(name)
    log.warning(
        "queue_has_other_arguments",
        queue=name,
        advice="an earlier version of the worker or another program declared this queue, and it is used as "
        "it is: a message that RabbitMQ gives up on it may get lost, or end on corti.dead as it is and not "
        "as a dead letter, and its producer is not told. To have the queue made anew, stop workers and doors "
        "when it is empty, delete it, and start them again",
    )
