"""Celery: its application, its queue `corti.work`, its consumer."""

from typing import Any

import kombu
import structlog
from celery import Celery, bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks as TasksStep
from kombu.exceptions import OperationalError

from worker.arrival import Arrival
from worker.broker.confirms import ConfirmingConnection
from worker.broker.declaring import WorkQueue
from worker.broker.discards import KeepingConsumer
from worker.broker.envelope import noted
from worker.broker.topology import MAIN_LANE, Lane, keepalive, work_arguments
from worker.heartbeat import waiting
from worker.ports import OutletUnavailable
from worker.trust import Trust, broker_tls_fault, tls_fault

log = structlog.get_logger(__name__)

TASK = "corti.transcribe"

_SEND_TIMEOUT = 10.0
WORKER_OPTIONS = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}


def make_celery(
    url: str,
    *,
    redis_options: dict[str, Any] | None,
    consumer_timeout: int,
    lane: Lane = MAIN_LANE,
    trust: Trust | None = None,
) -> Celery:
    """Celery's application.

    Args:
        url: The broker. Secret.
        redis_options: kombu's options when the broker is Redis, None when it is RabbitMQ.
        consumer_timeout: Seconds a delivery may stay unacknowledged on RabbitMQ.
        lane: Whose work queue this is.
        trust: For TLS; None without.
    """
    app = Celery("corti-worker", broker=url, set_as_current=False)
    on_rabbit = redis_options is None
    app.conf.update(
        task_queues=[
            (WorkQueue if on_rabbit else kombu.Queue)(
                lane.work,
                # The default exchange: no binding that could be lost.
                kombu.Exchange(""),
                routing_key=lane.work,
                durable=True,
                queue_arguments=work_arguments(lane, consumer_timeout) if on_rabbit else None,
            )
        ],
        task_default_queue=lane.work,
        task_create_missing_queues=False,
        broker_transport_options=redis_options or {"socket_settings": keepalive()},
        # Without it Celery verifies nothing of a rediss:// server, and no host name of an amqps:// one.
        broker_use_ssl=trust and (trust.for_rabbitmq() if on_rabbit else trust.for_redis()),
        task_acks_late=True,
        task_acks_on_failure=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_ignore_result=True,
        worker_send_task_events=False,
        task_send_sent_event=False,
        worker_enable_remote_control=False,
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        broker_heartbeat=0,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_consumer=f"{JobConsumer.__module__}:{JobConsumer.__qualname__}",
        # Spread sends over connections of their own: see CeleryWorkQueue.
        broker_pool_limit=4,
    )
    return app


class Tasks(TasksStep):
    """Celery's step that consumes jobs; once the worker drains, it does not begin to.

    Celery starts it anew after each lost connection. A consumer in a draining worker would get the messages
    of its own running jobs back and could only hand them back again: RabbitMQ counts each time, and gives a
    message up after `DELIVERY_LIMIT` of them. The loop itself goes on, because it sends acknowledgements.
    """

    name = "Tasks"

    def start(self, c: Any) -> None:
        """Celery's loop calls `consume` a moment after this step."""
        super().start(c)
        consume = c.task_consumer.consume
        c.task_consumer.consume = lambda *args, **named: None if c.draining else consume(*args, **named)


class Attendance(bootsteps.StartStopStep):
    """Tells the application whether Celery's consumer is at work.

    `app.attendance` is a pair of callables: one for each turn of its loop, one for when it stops or
    lost the broker.
    """

    requires = (Tasks,)

    def start(self, c: Any) -> None:
        """The consumer is connected."""
        beat, _ = getattr(c.app, "attendance", (_nothing, _nothing))
        beat()
        self._timer = c.timer.call_repeatedly(1.0, beat)

    def stop(self, c: Any) -> None:
        """The consumer stops or lost its connection."""
        _, rest = getattr(c.app, "attendance", (_nothing, _nothing))
        timer = getattr(self, "_timer", None)
        if timer is not None:
            timer.cancel()
        rest()


def _nothing(_why: str | None = None) -> None:
    pass


class JobConsumer(KeepingConsumer):
    """Celery's consumer without what we do not use, with `Attendance`, and with an end of consuming.

    It discards nothing.

    Left out: delayed delivery, which declares 28 exchanges and 28 queues on RabbitMQ for countdowns,
    and the chatter among workers (gossip, heartbeat events, remote control; mingle
    and events, which the other steps require, are switched off by `WORKER_OPTIONS`).
    """

    class Blueprint(bootsteps.Blueprint):
        """The steps of the consumer."""

        name = "Consumer"
        default_steps = (
            "celery.worker.consumer.connection:Connection",
            Tasks,
            "celery.worker.consumer.consumer:Evloop",
            Attendance,
        )

        def shutdown(self, parent: Any) -> None:
            """Stop everything."""
            self.send_all(parent, "shutdown")

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long that takes, unless the worker stops; `/readyz` says what is in the way."""

        def failed(error: Exception, interval: float) -> None:
            _, rest = getattr(self.app, "attendance", (_nothing, _nothing))
            rest(broker_tls_fault(error))
            log.warning(
                "consumer_cannot_connect",
                error=type(error).__name__,
                tls=tls_fault(error),
                next_in=round(interval, 1),
            )

        connection = conn.ensure_connection(failed, None, callback=state.maybe_shutdown)
        self.first_connection_attempt = False
        return connection

    #: Set once, by the drain; from then on nothing is consumed in this process.
    draining = False
    _stopped: Any = None

    def drain(self) -> None:
        """Consume no more, ever. From any thread."""
        self.draining = True
        self.call_soon(self.stop_consuming)

    def stop_consuming(self) -> None:
        """Tell the broker to send no more. For the thread of Celery's loop."""
        stopped, self._stopped = self._stopped, self.task_consumer
        # While `cancel` waits for its answer, messages can arrive whose handler calls us again.
        if self.task_consumer is not None and self.task_consumer is not stopped:
            self.task_consumer.cancel()

    def on_ready(self) -> None:
        """Celery's loop has just begun to consume; the drain may have begun a moment before."""
        super().on_ready()
        if self.draining:
            self.stop_consuming()


class CeleryWorkQueue:
    """Puts jobs on Celery's queue with confirmation. Implements `worker.intake.WorkQueue`."""

    def __init__(self, app: Celery, url: str, *, on_rabbit: bool, trust: Trust | None = None) -> None:
        self._app = app
        self._confirming = ConfirmingConnection(url, self._declare, trust) if on_rabbit else None
        # Asked once: each asking makes a connection's objects, an epoll among them.
        self._connection_errors = app.connection_for_write().transport.connection_errors

    def put(self, body: bytes, arrival: Arrival) -> None:
        """See `worker.intake.WorkQueue`."""
        text, headers = body.decode(), noted(arrival)
        if self._confirming is not None:
            self._confirming.publish(lambda producer: self._send(text, headers, producer))
            return
        try:
            with waiting(), self._app.producer_or_acquire() as producer:
                self._send(text, headers, producer)
        except (OperationalError, *self._connection_errors) as error:
            raise OutletUnavailable(type(error).__name__) from None

    def close(self) -> None:
        """Close the connection."""
        if self._confirming is not None:
            self._confirming.close()

    def _send(self, text: str, headers: dict[str, Any], producer: Any) -> None:
        self._app.send_task(
            TASK,
            args=(text,),
            producer=producer,
            queue=self._app.conf.task_default_queue,
            retry=False,
            timeout=_SEND_TIMEOUT,
            confirm_timeout=_SEND_TIMEOUT,
            mandatory=True,
            # Celery shows these in logs and events; the defaults are the payload itself.
            argsrepr="<job>",
            kwargsrepr="{}",
            headers=headers,
        )

    def _declare(self, connection: kombu.Connection) -> None:
        self._app.amqp.queues[self._app.conf.task_default_queue](connection.default_channel).declare()
