"""What was put on the queue against what came back."""

import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

_FINAL = {"corti.job.completed.v1": "completed", "corti.job.failed.v1": "failed"}


class Books:
    """The ledger of a soak; entries come from several threads.

    Attributes:
        sent: Ids of jobs that were put on the queue.
        results: Final events by job id, in order of arrival.
        refused: Invalid messages that were put, by their SHA-256, and whether the broker has confirmed each.
        letters: Dead letters by the SHA-256 of what they hold, in order of arrival.
        raw: Messages on the queue of dead letters that are none, in short.
        false_alarms: What `/livez` said while its process was well.
        ended: Workers that ended without being told to, with the ends of their logs.
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
        """A job was put."""
        with self._lock:
            self.sent.add(job_id)

    def put_invalid(self, digest: str, *, confirmed: bool) -> None:
        """A message that is no job was put, or may have been."""
        with self._lock:
            self.refused[digest] = confirmed

    def enter_result(self, body: bytes) -> None:
        """An event came."""
        event = json.loads(body)
        if event["type"] in _FINAL:
            with self._lock:
                self.results.setdefault(event["subject"], []).append(event)

    def enter_dead(self, body: bytes) -> None:
        """A message came from the queue of dead letters."""
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
        """`/livez` failed though nothing was wrong with the process."""
        with self._lock:
            self.false_alarms.append(text)

    @property
    def missing(self) -> set[str]:
        """Jobs without a result."""
        with self._lock:
            return self.sent - self.results.keys()

    @property
    def outcomes(self) -> Counter[str]:
        """First results by outcome, failures with their reason."""
        with self._lock:
            return Counter(
                _outcome(events[0]) for job_id, events in self.results.items() if job_id in self.sent
            )

    @property
    def repeats(self) -> int:
        """Results that came again as they were: the same event, published twice around a crash."""
        with self._lock:
            return sum(len(events) - 1 for events in self.results.values() if not _differ(events))

    @property
    def twice(self) -> int:
        """Jobs with two results that differ: a wrong record."""
        with self._lock:
            return sum(_differ(events) for events in self.results.values())

    @property
    def letters_missing(self) -> set[str]:
        """Invalid messages that the broker has confirmed and of which no dead letter came."""
        with self._lock:
            return {digest for digest, confirmed in self.refused.items() if confirmed} - self.letters.keys()

    @property
    def letters_twice(self) -> int:
        """Messages with more than one dead letter; the same letter again, by its `id`, is none."""
        with self._lock:
            return sum(len(_names(letters)) > 1 for letters in self.letters.values())

    @property
    def settled(self) -> bool:
        """Whether everything that was put has come back."""
        return not self.missing and not self.letters_missing

    @property
    def balanced(self) -> bool:
        """Whether nothing is lost, twice, raw, or alarmed for nothing."""
        wrong = (self.twice, self.letters_twice, self.raw, self.false_alarms)
        return self.settled and not any(wrong)


def _outcome(event: Mapping[str, Any]) -> str:
    reason = event["data"].get("reason")
    return _FINAL[event["type"]] + (f" ({reason})" if reason else "")


def _differ(events: list[dict[str, Any]]) -> bool:
    return any(event["data"] != events[0]["data"] for event in events)


def _names(letters: list[dict[str, Any]]) -> set[str]:
    """Letters without an `id` are each one of their own."""
    return {str(letter.get("id", number)) for number, letter in enumerate(letters)}
