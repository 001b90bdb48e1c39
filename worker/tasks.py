"""The one Celery task: from a delivery to the runner, and back to an acknowledgement."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import structlog
from celery import Celery
from celery.exceptions import Reject

from worker.broker.work_queue import TASK
from worker.message import InvalidJob
from worker.ports import OutletUnavailable

log = structlog.get_logger(__name__)

#: Keeps the delivery with this tag ours while the context lasts.
Held = Callable[[str], AbstractContextManager[None]]


def register(app: Celery, run: Callable[[bytes], None], held: Held) -> None:
    """Register the task.

    Args:
        app: Celery's application.
        run: Runs the job in a body and returns when its result is confirmed.
        held: Keeps a delivery ours while the context lasts.
    """

    def transcribe(task: Any, text: str) -> None:
        tag = str(
            task.request.properties.get("delivery_tag") or task.request.delivery_info.get("delivery_tag")
        )
        with held(tag):
            try:
                run(text.encode())
            except OutletUnavailable:
                # Not acknowledged: whoever takes it next runs it again, since its result got nowhere.
                log.error("job_handed_back", reason="result_not_confirmed")
                raise Reject("result_not_confirmed", requeue=True) from None
            except InvalidJob as refusal:
                # The door stops these; what is here was put on Celery's queue by somebody else.
                log.error("task_without_job", problems=len(refusal.problems))
                raise Reject("invalid_job", requeue=False) from None

    app.task(name=TASK, bind=True, ignore_result=True, acks_late=True)(transcribe)
