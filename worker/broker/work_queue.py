"""Celery: its application and its queue `corti.work`."""

from typing import Any

import kombu
from celery import Celery
from kombu.exceptions import OperationalError

from worker.broker.confirms import ConfirmingConnection
from worker.broker.consumer import JobConsumer
from worker.broker.declaring import WorkQueue
from worker.broker.envelope import noted
from worker.broker.rabbitmq import keepalive
from worker.broker.topology import MAIN_LANE, Lane, work_arguments
from worker.concurrency.heartbeat import waiting
from worker.jobs.ingress_headers import IngressHeaders
from worker.jobs.ports import BrokerUnavailable
from worker.network.trust import Trust

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
        # Without it Celery does not verify rediss:// servers at all, nor the host name of amqps:// servers.
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
        # On Redis, `CeleryWorkQueue` sends on connections from this pool.
        broker_pool_limit=4,
    )
    return app


class CeleryWorkQueue:
    """Puts jobs on Celery's queue with confirmation. Implements `worker.jobs.ingress.WorkQueue`."""

    def __init__(self, app: Celery, url: str, *, on_rabbit: bool, trust: Trust | None = None) -> None:
        self._app = app
        self._confirming = ConfirmingConnection(url, self._declare, trust) if on_rabbit else None
        # Asked once: each call makes the objects of a new connection, an epoll among them.
        self._connection_errors = app.connection_for_write().transport.connection_errors

    def put(self, body: bytes, headers: IngressHeaders) -> None:
        """See `worker.jobs.ingress.WorkQueue`."""
        text, known = body.decode(), noted(headers)
        if self._confirming is not None:
            self._confirming.publish(lambda producer: self._send(text, known, producer))
            return
        try:
            with waiting(), self._app.producer_or_acquire() as producer:
                self._send(text, known, producer)
        except (OperationalError, *self._connection_errors) as error:
            raise BrokerUnavailable(type(error).__name__) from None

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
