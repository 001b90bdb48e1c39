"""Measurements and audit records, in memory."""

import threading
from collections import Counter as Tally
from dataclasses import dataclass, field

from worker.telemetry.audit import Entry
from worker.telemetry.metric_kinds import Counter, Histogram


class FakeRecorder:
    """Adds up measurements, and is as strict about labels as Prometheus is.

    Attributes:
        counts: Sums, by the name of a counter and the values of its labels in their order.
        values: Observed values, by the name and label values of a histogram, joined by spaces.
    """

    def __init__(self) -> None:
        self.counts: Tally[tuple[str, ...]] = Tally()
        self.values: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def count(self, counter: Counter, by: float = 1.0, **labels: str) -> None:
        if by < 0:
            raise ValueError(f"{counter.name} cannot shrink")
        key = self._key(counter, labels)
        with self._lock:
            self.counts[key] += by  # type: ignore[assignment]

    def observe(self, histogram: Histogram, value: float, **labels: str) -> None:
        key = " ".join(self._key(histogram, labels))
        with self._lock:
            self.values.setdefault(key, []).append(value)

    def total(self, counter: Counter, **labels: str) -> float:
        """The sum of a counter over all series that have these labels."""
        with self._lock:
            series = list(self.counts.items())
        wanted = labels.items()
        return sum(
            by
            for (name, *given), by in series
            if name == counter.name and wanted <= dict(zip(counter.labels, given, strict=True)).items()
        )

    def observed(self, histogram: Histogram) -> list[float]:
        """All observed values of a histogram, with any labels."""
        with self._lock:
            series = list(self.values.items())
        return [value for key, values in series if key.split(" ")[0] == histogram.name for value in values]

    @staticmethod
    def _key(measure: Counter | Histogram, labels: dict[str, str]) -> tuple[str, ...]:
        if set(labels) != set(measure.labels):
            raise ValueError(f"{measure.name} has the labels {measure.labels}")
        return (measure.name, *(labels[name] for name in measure.labels))


@dataclass
class FakeAudit:
    """Keeps all audit records."""

    entries: list[Entry] = field(default_factory=list)

    def record(self, entry: Entry) -> None:
        self.entries.append(entry)
