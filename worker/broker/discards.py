"""Messages that Celery's consumer would discard are published as dead letters, and only then acknowledged.

Celery rejects a message that it does not understand, and writes it into its log: on Redis the message is then
gone, on RabbitMQ the broker gives it up. No job of ours is among these messages. They come from somebody who
put them on Celery's own queue and not through a door; that person finds them on `corti.dead`.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from celery.worker.consumer import Consumer

from worker.jobs.ports import BrokerUnavailable

log = structlog.get_logger(__name__)

#: Keeps a message as a dead letter that says what was expected in its place; raises BrokerUnavailable.
Keep = Callable[[bytes, str], None]

_NO_TASK = "expected a job that a door has taken in: put jobs on corti.jobs, not on Celery's queue"
_UNKNOWN_TASK = "expected a task of this worker: this one is of another program, or of another version"
_UNREADABLE = "expected a message that can be decoded: see its content type and encoding"


class KeepingConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer. Its four methods that discard a message keep it instead, by `app.keep_discarded`."""

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002
        """The message is no task."""
        self._keep(message, _NO_TASK)

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002
        """The message is a task that we do not have."""
        self._keep(message, _UNKNOWN_TASK)

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002
        """The message names our task, but was not made by us."""
        self._keep(message, _NO_TASK)

    def on_decode_error(self, message: Any, exc: BaseException) -> None:  # noqa: ARG002
        """The message cannot be decoded."""
        self._keep(message, _UNREADABLE)

    def _keep(self, message: Any, expected: str) -> None:
        keep: Keep = self.app.keep_discarded
        body = _bytes(message)

        def run() -> None:
            try:
                keep(body, expected)
            except BrokerUnavailable:
                # The dead letter was offered for as long as a result is. Hand the message back: the broker
                # delivers it again, and may take the dead letter by then.
                self.call_soon(self._settle, message.requeue)
            else:
                self.call_soon(self._settle, message.ack)

        # A thread for each message: the consumer's loop must not wait for the broker. There are never more of
        # these threads than unacknowledged messages, and the broker allows one of those for each slot.
        threading.Thread(target=run, name="discard", daemon=True).start()

    def _settle(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except Exception as error:  # noqa: BLE001  # it would end the loop
            # The connection of the message was lost, and the broker delivers the message again.
            log.warning("discarded_message_not_settled", error=type(error).__name__)


def _bytes(message: Any) -> bytes:
    """The message's body, as it came."""
    body = message.body
    if isinstance(body, str):
        # py-amqp has decoded it by the encoding that the message names.
        return body.encode(message.content_encoding or "utf-8", errors="surrogateescape")
    return bytes(body or b"")
