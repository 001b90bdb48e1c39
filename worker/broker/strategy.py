"""From a message on Celery's queue to a thread of its pool, and back to the message.

Celery would run its `trace_task` in between: results, callbacks, signals, retries, none of which a job has.
It also keeps three more copies of the message as long as the job runs. And who hands a delivery back by
raising `Reject` there leaves half a megabyte in a cycle that Python's collector does not count (billiard
copies the source positions of Celery's frames): a worker whose deliveries kept going back grew to 5 GB in
half an hour.
`Task.Strategy` is Celery's own seam for this.
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

#: Where kombu notes that a message could not be handed back; Celery's own, so that its filter applies.
logger = get_logger(__name__)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


#: Takes a delivery's tag, its job and what the door noted; says DONE or HAND_BACK. May take hours.
Run = Callable[[str, bytes, IngressHeaders], DeliveryOutcome]


class JobRequest(Request):  # type: ignore[misc]  # Celery has no types
    """Celery's account of one delivery."""

    def __init__(self, message: Any, **how: Any) -> None:
        super().__init__(message, **how)
        args: Any = self.args
        if not (isinstance(args, list) and len(args) == 1 and isinstance(args[0], str)):
            raise InvalidTaskError("not of our making: the task takes one text")
        self._job: bytes = args[0].encode()
        self._ingress_headers = ingress_headers(message.headers)
        # It may hold a consultation's audio, and each of these is or has a copy of it.
        self._request_dict: dict[str, Any] = {}
        self._args = self._kwargs = self._body = self._Request__payload = None
        message.body = message._decoded_cache = message._raw = None  # noqa: SLF001  # kombu has no word for it
        message.headers = message.properties = _NOTHING

    def execute_using_pool(self, pool: Any, **_how: Any) -> Any:
        """Called by Celery's controller."""
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
    """Celery asks once per connection how messages of the task are to be handled."""
    give_way = getattr(app, "give_way", never)

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:
        if consumer.draining:
            # It was on its way when the drain began. First no more of them, or it would come back to us.
            consumer.stop_consuming()
            reject(logger, consumer.connection_errors, True)  # Celery's order of arguments
            return
        if body is not None:
            raise InvalidTaskError("in Celery's protocol 1, which the door does not speak")
        # It makes a thread, and audio comes first.
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
            raise InvalidTaskError(f"not of our making: {type(error).__name__}") from None
        task_reserved(request)
        for callback in callbacks:
            callback(request)
        consumer.on_task_request(request)

    return handle
