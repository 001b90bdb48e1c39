"""The one Celery task: from a delivery to its verdict, and what that means for the message."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import structlog
from celery import Celery

from worker.broker import strategy
from worker.broker.strategy import Disposal
from worker.broker.work_queue import TASK
from worker.concurrency.interrupt import Interrupt
from worker.contract.message import InvalidJob
from worker.jobs.arrival import Arrival, Verdict
from worker.jobs.ports import BrokerUnavailable

log = structlog.get_logger(__name__)

Take = Callable[[bytes, Interrupt, Arrival], Verdict]
#: Keeps the delivery with this tag ours, and counts it as running, while the context lasts.
Held = Callable[[str], AbstractContextManager[Interrupt]]
#: Sees to it that a delivery, by tag, is left alone and its job does not get lost; False if it cannot.
Forfeit = Callable[[str, bytes, Arrival], bool]
#: Keeps a body without a job as a dead letter; raises BrokerUnavailable.
Discard = Callable[[bytes, InvalidJob], None]


def register(app: Celery, take: Take, held: Held, forfeit: Forfeit, discard: Discard) -> None:
    """Register the task.

    Args:
        app: Celery's application.
        take: Takes a delivery.
        held: See `Held`.
        forfeit: See `Forfeit`.
        discard: See `Discard`.
    """

    def transcribe(tag: str, body: bytes, arrival: Arrival) -> Disposal:
        with held(tag) as interrupt:
            try:
                verdict = take(body, interrupt, arrival)
            except InvalidJob as refusal:
                # The door stops these; what is here was put on Celery's queue by somebody else.
                log.error("task_without_job", problems=len(refusal.problems))
                try:
                    discard(body, refusal)
                except BrokerUnavailable:
                    return Disposal.REQUEUE
                return Disposal.ACKNOWLEDGE
            # A delivery that is left alone is acknowledged for Celery's books only; see `Forfeit`.
            done = verdict is Verdict.DONE or (verdict is Verdict.FORFEIT and forfeit(tag, body, arrival))
        return Disposal.ACKNOWLEDGE if done else Disposal.REQUEUE

    qualified = f"{strategy.__name__}:{strategy.strategy.__qualname__}"
    app.task(name=TASK, Strategy=qualified, ignore_result=True, acks_late=True)(transcribe)
