"""Celery's consumer of `corti.work`: what we leave out, what it reports, and how it stops."""

import threading
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks as TasksStep

from worker.broker.discards import KeepingConsumer
from worker.concurrency.heartbeat import waiting
from worker.network.connection_faults import broker_fault, connection_fault

log = structlog.get_logger(__name__)

_REFUSED_WAIT = 1.0


class Tasks(TasksStep):
    """Celery's step that starts to consume jobs; in a worker that drains, it starts no more.

    Celery runs the step again after each lost connection. A consumer in a draining worker would receive the
    messages of its own running jobs, and could only hand them back: RabbitMQ counts each delivery, and gives
    a message up after `DELIVERY_LIMIT` of them. Celery's loop goes on, because it sends acknowledgements.
    """

    name = "Tasks"

    def start(self, c: Any) -> None:
        """Replace `consume`, which Celery's loop calls a moment after this step."""
        super().start(c)
        consume = c.task_consumer.consume
        c.task_consumer.consume = lambda *args, **named: None if c.draining else consume(*args, **named)


class HeartbeatStep(bootsteps.StartStopStep):
    """Tells the application whether Celery's consumer is at work.

    `app.heartbeat_calls` is a pair of callables. The first is called once a second while the consumer is
    connected; the second when the consumer stops, lost the broker, or cannot reach it.
    """

    requires = (Tasks,)

    def start(self, c: Any) -> None:
        """The consumer is connected."""
        beat, _ = getattr(c.app, "heartbeat_calls", (_nothing, _nothing))
        c.refused = None
        beat()
        self._timer = c.timer.call_repeatedly(1.0, beat)

    def stop(self, c: Any) -> None:
        """The consumer stops or lost its connection."""
        _, rest = getattr(c.app, "heartbeat_calls", (_nothing, _nothing))
        timer = getattr(self, "_timer", None)
        if timer is not None:
            timer.cancel()
        rest(c.refused)


def _nothing(_why: str | None = None) -> None:
    pass


class JobConsumer(KeepingConsumer):
    """Celery's consumer without the steps that we do not use, with `HeartbeatStep`, and with `drain`.

    It keeps the messages that Celery would discard: see `KeepingConsumer`.

    Left out are delayed delivery, which declares 28 exchanges and 28 queues on RabbitMQ for countdowns, and
    the messages among workers (gossip, heartbeat events, remote control). The steps for mingle and events
    are still there, because other steps require them, but `WORKER_OPTIONS` switches them off.
    """

    class Blueprint(bootsteps.Blueprint):
        """The steps of the consumer."""

        name = "Consumer"
        default_steps = (
            "celery.worker.consumer.connection:Connection",
            Tasks,
            "celery.worker.consumer.consumer:Evloop",
            HeartbeatStep,
        )

        def shutdown(self, parent: Any) -> None:
            """Stop everything."""
            self.send_all(parent, "shutdown")

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long that takes, unless the worker stops; `/readyz` says why it fails."""

        def failed(error: Exception, interval: float) -> None:
            _, rest = getattr(self.app, "heartbeat_calls", (_nothing, _nothing))
            rest(broker_fault(error))
            log.warning(
                "consumer_cannot_connect",
                error=type(error).__name__,
                why=connection_fault(error),
                next_in=round(interval, 1),
            )

        connection = conn.ensure_connection(failed, None, callback=state.maybe_shutdown)
        self.first_connection_attempt = False
        return connection

    #: Why the broker refuses what Celery asks for when it starts, in words; None while it refuses nothing.
    refused: str | None = None

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """The broker refuses the connection."""
        super().on_connection_error_before_connected(exc)
        self._refusal(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """The connection was lost, or the broker refuses what Celery's start asks for."""
        super().on_connection_error_after_connected(exc)
        self._refusal(exc)

    def _refusal(self, error: Exception) -> None:
        self.refused = broker_fault(error)
        if self.refused is None:
            return
        _, rest = getattr(self.app, "heartbeat_calls", (_nothing, _nothing))
        rest(self.refused)
        log.warning("consumer_refused", error=type(error).__name__, why=self.refused)
        with waiting():
            # Celery would ask again at once, but nobody grants a right or changes a password that quickly.
            threading.Event().wait(_REFUSED_WAIT)

    #: Set once, by the drain; from then on nothing is consumed in this process.
    draining = False
    _stopped: Any = None

    def drain(self) -> None:
        """Stop consuming for good. May be called from any thread."""
        self.draining = True
        self.call_soon(self.stop_consuming)

    def stop_consuming(self) -> None:
        """Tell the broker to send no more messages. To be called on the thread of Celery's loop."""
        stopped, self._stopped = self._stopped, self.task_consumer
        # While `cancel` waits for its answer, messages can arrive, and their handler calls this again.
        if self.task_consumer is not None and self.task_consumer is not stopped:
            self.task_consumer.cancel()

    def on_ready(self) -> None:
        """Celery's loop has just begun to consume. Stop it if the drain began a moment before."""
        super().on_ready()
        if self.draining:
            self.stop_consuming()
