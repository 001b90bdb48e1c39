"""What the door noted on a job's message, and what becomes of a delivery of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class DeliveryOutcome(Enum):
    """What is to be done with a delivery's message."""

    DONE = "acknowledge it: the job has ended, or a copy waits elsewhere"
    HAND_BACK = "return it to its queue"
    FORFEIT = "leave it: it may be somebody else's by now"


@dataclass(frozen=True, slots=True)
class IngressHeaders:
    """What is noted on a job's message; empty if the message has not come through a door of ours.

    Attributes:
        accepted_at: When the door accepted it first, by the door's wall clock.
        traceparent: Its trace.
        broken: How many of its deliveries failed by a bug of ours.
        deliveries: How often RabbitMQ has delivered the message before.
    """

    accepted_at: datetime | None = None
    traceparent: str | None = None
    broken: int = 0
    deliveries: int = 0


#: Nothing is noted.
NO_HEADERS = IngressHeaders()
