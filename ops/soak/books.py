"""Records what was put on the queue and what came back, and compares both."""

import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

_FINAL = {"corti.job.completed.v1": "completed", "corti.job.failed.v1": "failed"}


class Books:
    """The records of a soak test. Thread-safe.

    Attributes:
        sent: Ids of jobs that were put on the queue.
        results: Final events by job id, in order of arrival.
        refused: SHA-256 of each invalid message -> whether the broker has confirmed the message.
        letters: Dead letters by the SHA-256 of the message in them, in order of arrival.
        raw: The first characters of messages on the queue of dead letters that are not dead letters.
        false_alarms: Failed answers of `/livez` of healthy processes.
        ended: Workers that ended by themselves, with the ends of their logs.
    """

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.refused: dict[str, bool] = {}
        self.letters: dict[str, list[dict[str, Any]]] = {}
        self.raw: list[str] = []
        self.false_alarms: list[str] = []
        self.ended: list[str] = []
        self._lock = threading.Lock()

    def put(self, job_id: str) -> None:
        """Record a job that was put."""
        with self._lock:
            self.sent.add(job_id)

    def put_invalid(self, digest: str, *, confirmed: bool) -> None:
        """Record an invalid message that was put; if not `confirmed`, it may have been put."""
        with self._lock:
            self.refused[digest] = confirmed

    def enter_result(self, body: bytes) -> None:
        """Record an event, given as JSON."""
        event = json.loads(body)
        if event["type"] in _FINAL:
            with self._lock:
                self.results.setdefault(event["subject"], []).append(event)

    def enter_dead(self, body: bytes) -> None:
        """Record a message from the queue of dead letters."""
        try:
            letter = json.loads(body)
            digest = letter["sha256"]
            raw = not {"version", "reason"} <= letter.keys()
        except (ValueError, KeyError, TypeError, AttributeError):
            raw = True
        with self._lock:
            if raw:
                self.raw.append(body[:200].decode(errors="replace"))
            else:
                self.letters.setdefault(digest, []).append(letter)

    def alarm(self, text: str) -> None:
        """Record that `/livez` failed although the process was healthy."""
        with self._lock:
            self.false_alarms.append(text)

    @property
    def missing(self) -> set[str]:
        """Jobs without a result."""
        with self._lock:
            return self.sent - self.results.keys()

    @property
    def outcomes(self) -> Counter[str]:
        """The number of jobs by the outcome of their first result; failures with their reason."""
        with self._lock:
            return Counter(
                _outcome(events[0]) for job_id, events in self.results.items() if job_id in self.sent
            )

    @property
    def repeats(self) -> int:
        """The number of repeated identical results: the same event, published again after a crash."""
        with self._lock:
            return sum(len(events) - 1 for events in self.results.values() if not _differ(events))

    @property
    def twice(self) -> int:
        """The number of jobs with different results."""
        with self._lock:
            return sum(_differ(events) for events in self.results.values())

    @property
    def letters_missing(self) -> set[str]:
        """Invalid messages that the broker has confirmed and that have no dead letter."""
        with self._lock:
            return {digest for digest, confirmed in self.refused.items() if confirmed} - self.letters.keys()

    @property
    def letters_twice(self) -> int:
        """The number of messages with several dead letters; the same `id` again does not count."""
        with self._lock:
            return sum(len(_names(letters)) > 1 for letters in self.letters.values())

    @property
    def settled(self) -> bool:
        """Whether each job has a result, and each confirmed invalid message a dead letter."""
        return not self.missing and not self.letters_missing

    @property
    def balanced(self) -> bool:
        """Whether the test has passed: nothing lost, duplicated or raw, and no false alarm of `/livez`."""
        wrong = (self.twice, self.letters_twice, self.raw, self.false_alarms)
        return self.settled and not any(wrong)


def _outcome(event: Mapping[str, Any]) -> str:
    reason = event["data"].get("reason")
    return _FINAL[event["type"]] + (f" ({reason})" if reason else "")


def _differ(events: list[dict[str, Any]]) -> bool:
    return any(event["data"] != events[0]["data"] for event in events)


def _names(letters: list[dict[str, Any]]) -> set[str]:
    """Return the ids of dead letters. A dead letter without an `id` counts as different from all others."""
    return {str(letter.get("id", number)) for number, letter in enumerate(letters)}
