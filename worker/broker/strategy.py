"""Runs a message from Celery's queue on a thread of Celery's pool, then acknowledges or rejects the message.

Celery would run its `trace_task` in between, for results, callbacks, signals and retries: a job has none of
these. `trace_task` also keeps three more copies of the message as long as the job runs. And each delivery
that is handed back by raising `Reject` there leaves half a megabyte in a reference cycle that Python's
collector does not count (billiard copies the source positions of Celery's frames): a worker whose deliveries
kept going back grew to 5 GB in half an hour.
`Task.Strategy` is Celery's own hook for replacing this.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from celery import Celery
from celery.exceptions import InvalidTaskError
from celery.utils.log import get_logger
from celery.worker.request import Request
from celery.worker.state import task_ready, task_reserved

from worker.broker.envelope import ingress_headers
from worker.broker.work_queue import TASK
from worker.jobs.ingress_headers import DeliveryOutcome, IngressHeaders
from worker.jobs.ports import never

#: Where kombu notes that a message could not be handed back. It has a name of Celery's, so that the log keeps
#: the text of kombu without the text of the error, as it does for every library.
logger = get_logger("celery.worker.strategy")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


#: Takes a delivery's tag, its job and what the door noted; returns DONE or HAND_BACK. May take hours.
Run = Callable[[str, bytes, IngressHeaders], DeliveryOutcome]


class JobRequest(Request):  # type: ignore[misc]  # Celery has no types
    """Celery's request object for one delivery, without its copies of the message."""

    def __init__(self, message: Any, **how: Any) -> None:
        super().__init__(message, **how)
        args: Any = self.args
        if not (isinstance(args, list) and len(args) == 1 and isinstance(args[0], str)):
            raise InvalidTaskError("not made by this worker: the task takes one text")
        self._job: bytes = args[0].encode()
        self._ingress_headers = ingress_headers(message.headers)
        # The message may hold a consultation's audio, and each of these attributes is or has a copy of it.
        self._request_dict: dict[str, Any] = {}
        self._args = self._kwargs = self._body = self._Request__payload = None
        message.body = message._decoded_cache = message._raw = None  # noqa: SLF001  # kombu has no method for it
        message.headers = message.properties = _NOTHING

    def execute_using_pool(self, pool: Any, **_how: Any) -> Any:
        """Run the job on a thread of the pool. Called by Celery's controller."""
        return pool.apply_async(self._run, accept_callback=self.on_accepted, callback=self._settle)

    def _run(self) -> DeliveryOutcome:
        run: Run = self.task.run
        return run(str(self.message.delivery_tag), self._job, self._ingress_headers)

    def _settle(self, outcome: object) -> None:
        task_ready(self, successful=True)
        if outcome is DeliveryOutcome.DONE:
            self.acknowledge()
        else:
            # Celery passes something else for a thread that was told to exit: the job is not done.
            self.reject(requeue=True)


def register(app: Celery, run: Run) -> None:
    """Register the one Celery task, whose messages go to `run`."""
    qualified = f"{__name__}:{strategy.__qualname__}"
    app.task(name=TASK, Strategy=qualified, ignore_result=True, acks_late=True)(run)


def strategy(task: Any, app: Celery, consumer: Any, **_how: Any) -> Callable[..., None]:
    """Return the function that handles the task's messages. Celery asks for it once per connection."""
    give_way = getattr(app, "give_way", never)

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:
        if consumer.draining:
            # The message was on its way when the drain began. Stop consuming first: else it would come back.
            consumer.stop_consuming()
            reject(logger, consumer.connection_errors, True)  # Celery's order of arguments
            return
        if body is not None:
            raise InvalidTaskError("in version 1 of Celery's message protocol, which the door does not use")
        # A request makes a thread, and the audio of running streams comes first.
        give_way()
        try:
            request = JobRequest(
                message,
                on_ack=ack,
                on_reject=reject,
                app=app,
                task=task,
                hostname=consumer.hostname,
                connection_errors=consumer.connection_errors,
            )
        except (ValueError, TypeError, LookupError) as error:
            raise InvalidTaskError(f"not made by this worker: {type(error).__name__}") from None
        task_reserved(request)
        for callback in callbacks:
            callback(request)
        consumer.on_task_request(request)

    return handle
