"""A separate RabbitMQ connection (by kombu) on which the broker confirms every publish.

Separate, because on a shared connection a channel error of other code can hang the next publish.
One publish at a time: a kombu channel belongs to one thread.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kombu
from amqp.exceptions import MessageNacked

from worker.broker import rabbitmq
from worker.concurrency.heartbeat import waiting
from worker.jobs.ports import BrokerUnavailable
from worker.network.connection_faults import connection_fault
from worker.network.trust import Trust

#: Seconds for a confirmation, a declaration, a connection. A quorum queue answers in milliseconds.
_TIMEOUT = 10.0

Publish = Callable[[kombu.Producer], None]


class Unroutable(Exception):
    """No queue took the message: somebody deleted the queue."""


class ConfirmingConnection:
    """Publishes with confirms.

    Args:
        url: The broker. Secret.
        declare: Declares what the publishes need, on each new connection.
        trust: For TLS; None without.
    """

    def __init__(
        self, url: str, declare: Callable[[kombu.Connection], None], trust: Trust | None = None
    ) -> None:
        self._connection = rabbitmq.connect(
            url, trust, connect_timeout=_TIMEOUT, answer_timeout=_TIMEOUT, confirms=True
        )
        self._declare = declare
        self._lock = threading.Lock()
        self._producer: kombu.Producer | None = None
        self._returned = False
        self._failures = (*rabbitmq.failures(self._connection), MessageNacked, Unroutable)

    def publish(self, publish: Publish) -> None:
        """Run one publish and return when the broker has confirmed it.

        If the publish fails on a connection that was made before, it is repeated once on a new connection:
        the old one may have been lost since the last publish.

        Raises:
            BrokerUnavailable: The broker is away, or refused.
        """
        with waiting(), self._lock:
            known = self._producer is not None
            try:
                self._attempt(publish)
            except self._failures as error:
                self._forget()
                if not known:
                    raise BrokerUnavailable(connection_fault(error) or type(error).__name__) from None
                try:
                    self._attempt(publish)
                except self._failures as again:
                    self._forget()
                    raise BrokerUnavailable(connection_fault(again) or type(again).__name__) from None

    def routed(self) -> bool:
        """To be called within a publish: whether its last message came to a queue."""
        returned, self._returned = self._returned, False
        return not returned

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._forget()

    def _attempt(self, publish: Publish) -> None:
        if self._producer is None:
            # Without kombu's pause of 2 s between two tries: the caller knows how long it can wait.
            self._connection.ensure_connection(max_retries=1, interval_start=0, timeout=_TIMEOUT)
            self._declare(self._connection)
            self._producer = self._connection.Producer(auto_declare=False)
            # Without this handler py-amqp raises for a returned message, and takes the confirmation that
            # follows for the confirmation of the next message.
            self._producer.channel.events["basic_return"].add(self._note_return)
        self._returned = False
        publish(self._producer)
        if not self.routed():
            raise Unroutable

    def _note_return(self, *_: object) -> None:
        self._returned = True

    def _forget(self) -> None:
        self._producer = None
        with suppress(Exception):  # a broken connection may break once more while it is closed
            self._connection.close()


def confirmed(
    producer: kombu.Producer,
    body: bytes,
    *,
    content_type: str,
    exchange: str,
    routing_key: str,
    **properties: Any,
) -> None:
    """Publish one persistent message.

    It is `mandatory`: the broker returns a message that no queue takes, and does not just drop it.
    """
    producer.publish(
        body,
        exchange=exchange,
        routing_key=routing_key,
        content_type=content_type,
        content_encoding="utf-8",
        delivery_mode=2,
        mandatory=True,
        retry=False,
        timeout=_TIMEOUT,
        confirm_timeout=_TIMEOUT,
        **properties,
    )
