"""What was put on the queue against what came back."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_FINAL = {"corti.job.completed.v1": "completed", "corti.job.failed.v1": "failed"}


@dataclass
class Books:
    """The ledger of a soak.

    Attributes:
        sent: Job ids put on the queue.
        results: Final events by job id, in order of arrival.
    """

    sent: set[str] = field(default_factory=set)
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def enter(self, body: bytes) -> None:
        """A message came back."""
        event = json.loads(body)
        if event["type"] in _FINAL:
            self.results.setdefault(event["subject"], []).append(event)

    @property
    def missing(self) -> set[str]:
        """Jobs without a result."""
        return self.sent - self.results.keys()

    @property
    def outcomes(self) -> Counter[str]:
        """First results by outcome, failures with their reason."""
        return Counter(
            _FINAL[events[0]["type"]]
            + (f" ({events[0]['data']['reason']})" if "reason" in events[0]["data"] else "")
            for events in self.results.values()
        )

    @property
    def repeats(self) -> int:
        """Results that came again as they were: the same event, published twice around a crash."""
        return sum(
            len(events) - 1
            for events in self.results.values()
            if all(event["data"] == events[0]["data"] for event in events)
        )

    @property
    def duplicates(self) -> int:
        """Jobs with two results that differ: a wrong record."""
        return sum(
            any(event["data"] != events[0]["data"] for event in events) for events in self.results.values()
        )
