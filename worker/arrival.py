"""What is known of a job since it was taken in, and travels with it from queue to queue."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the door noted on a job's message; both None where a message has come another way.

    Attributes:
        accepted_at: When the door accepted it first, by the door's wall clock.
        traceparent: Its trace.
    """

    accepted_at: datetime | None = None
    traceparent: str | None = None


#: Nothing is known.
UNKNOWN = Arrival()
