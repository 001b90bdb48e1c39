"""What Celery's consumer would throw away becomes a dead letter of ours, and only then leaves the broker.

Celery rejects what it does not understand, and writes it into its log: on Redis the message is gone, on
RabbitMQ the broker gives it up. No job of ours is among these. Whoever puts something on Celery's own queue
does so past the door, and finds it on `corti.dead`.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from celery.worker.consumer import Consumer

from worker.jobs.ports import BrokerUnavailable

log = structlog.get_logger(__name__)

#: Keeps a message as a dead letter, with what was expected in its place; raises BrokerUnavailable.
Keep = Callable[[bytes, str], None]

_NO_TASK = "expected a job that a door has taken in: put jobs on corti.jobs, not on the queue of tasks"
_UNKNOWN_TASK = "expected a task of this worker: it is of another program, or of another version"
_UNREADABLE = "expected a message that can be decoded: see its content type and encoding"


class KeepingConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer, whose four ways to discard a message keep it. `app.keep_discarded` does it."""

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002
        """It is no task."""
        self._keep(message, _NO_TASK)

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002
        """It is a task that we do not have."""
        self._keep(message, _UNKNOWN_TASK)

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002
        """It is our task, and was not made by us."""
        self._keep(message, _NO_TASK)

    def on_decode_error(self, message: Any, exc: BaseException) -> None:  # noqa: ARG002
        """It cannot be read."""
        self._keep(message, _UNREADABLE)

    def _keep(self, message: Any, expected: str) -> None:
        keep: Keep = self.app.keep_discarded
        body = _bytes(message)

        def run() -> None:
            try:
                keep(body, expected)
            except BrokerUnavailable:
                # It was offered for as long as a result is. It comes again, and by then the broker is well.
                self.call_soon(self._settle, message.requeue)
            else:
                self.call_soon(self._settle, message.ack)

        # A thread for each: the consumer's loop must not wait for the broker, and there are never more of
        # these than the broker hands out unacknowledged, which is one for each slot.
        threading.Thread(target=run, name="discard", daemon=True).start()

    def _settle(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except Exception as error:  # noqa: BLE001  # the loop would end by it
            # Its connection was lost, and the broker delivers it again.
            log.warning("discarded_message_not_settled", error=type(error).__name__)


def _bytes(message: Any) -> bytes:
    """The message's body, as it came."""
    body = message.body
    if isinstance(body, str):
        # py-amqp has decoded it by the encoding that the message names.
        return body.encode(message.content_encoding or "utf-8", errors="surrogateescape")
    return bytes(body or b"")
