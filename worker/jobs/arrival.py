"""What travels with a job from queue to queue, and what is to become of a message of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Verdict(Enum):
    """What to do with the delivery's message."""

    DONE = "acknowledge it: the job has ended, or a copy waits elsewhere"
    HAND_BACK = "return it to the queue"
    FORFEIT = "leave it: it may be somebody else's by now"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is noted on a job's message; nothing where a message has not come through a door of ours.

    Attributes:
        accepted_at: When the door accepted it first, by the door's wall clock.
        traceparent: Its trace.
        broken: How many of its deliveries broke by a fault of ours.
        deliveries: How often RabbitMQ has delivered the message before.
    """

    accepted_at: datetime | None = None
    traceparent: str | None = None
    broken: int = 0
    deliveries: int = 0


#: Nothing is known.
UNKNOWN = Arrival()
