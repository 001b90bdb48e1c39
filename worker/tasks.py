"""The one Celery task: from a delivery to its verdict, and what that means for the message."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import structlog
from celery import Celery
from celery.exceptions import Ignore, Reject

from worker.broker.work_queue import TASK, arrival
from worker.delivery import Arrival, Verdict
from worker.interrupt import Interrupt, Interrupted
from worker.message import InvalidJob

log = structlog.get_logger(__name__)

Take = Callable[[bytes, Interrupt, Arrival], Verdict]
#: Keeps the delivery with this tag ours, and counts it as running, while the context lasts.
Held = Callable[[str], AbstractContextManager[Interrupt]]
#: Sees to it that a delivery, by tag, is left alone and its job does not get lost; False if it cannot.
Forfeit = Callable[[str, bytes], bool]

#: Before a delivery that broke goes back to the queue, so that it cannot spin.
_PAUSE = 1.0


def register(app: Celery, take: Take, held: Held, forfeit: Forfeit) -> None:
    """Register the task.

    Args:
        app: Celery's application.
        take: Takes a delivery.
        held: See `Held`.
        forfeit: See `Forfeit`.
    """

    def transcribe(task: Any, text: str) -> None:
        request = task.request
        tag = str(request.properties.get("delivery_tag") or request.delivery_info.get("delivery_tag"))
        body = text.encode()
        with held(tag) as interrupt:
            try:
                verdict = take(body, interrupt, arrival(request.headers))
            except InvalidJob as refusal:
                # The door stops these; what is here was put on Celery's queue by somebody else.
                log.error("task_without_job", problems=len(refusal.problems))
                raise Reject("invalid_job", requeue=False) from None
            except Exception as error:  # noqa: BLE001  # Celery would acknowledge, and the job would be gone
                log.error("delivery_broke", error=type(error).__name__)
                verdict = Verdict.HAND_BACK
                with suppress(Interrupted):
                    interrupt.wait(_PAUSE)
            if verdict is Verdict.FORFEIT and forfeit(tag, body):
                raise Ignore
        if verdict is not Verdict.DONE:
            raise Reject("handed_back", requeue=True)

    app.task(name=TASK, bind=True, ignore_result=True, acks_late=True)(transcribe)
