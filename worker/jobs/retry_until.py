"""Steps that are repeated until the broker and Redis take them."""

from collections.abc import Callable

import structlog

from worker.clock import Clock, Deadline
from worker.concurrency.interrupt import Interrupt, Interrupted
from worker.jobs.claims import LedgerUnavailable
from worker.jobs.ports import BrokerUnavailable, Waiter

log = structlog.get_logger(__name__)

_PAUSE = 1.0


def until_taken(step: Callable[[], object], interrupt: Interrupt) -> bool:
    """Repeat a step until broker and Redis take it; False when the worker stops before that.

    The delivery stays unacknowledged meanwhile. If we handed it back, it would come again at once. RabbitMQ
    gives a message up after `DELIVERY_LIMIT` deliveries, so an alarm of some minutes would cost the job.
    """
    while True:
        try:
            step()
        except (LedgerUnavailable, BrokerUnavailable) as error:
            log.warning("delivery_held", error=str(error))
        else:
            return True
        try:
            interrupt.wait(_PAUSE)
        except Interrupted:
            return False


def until_stored(step: Callable[[], None], patience: float, clock: Clock, waiter: Waiter) -> None:
    """Repeat a step of the ledger until Redis takes it, for `patience` seconds, also while the worker stops.

    Raises:
        BrokerUnavailable: Redis did not take it in time; the delivery must not be acknowledged.
    """
    deadline = Deadline.after(patience, clock.monotonic())
    while True:
        try:
            return step()
        except LedgerUnavailable as error:
            if deadline.passed(clock.monotonic()):
                raise BrokerUnavailable(str(error)) from None
            log.warning("ledger_unavailable", error=str(error))
        waiter.wait(_PAUSE)
