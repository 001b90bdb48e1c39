"""Where measurements go."""

from typing import Protocol

from worker.telemetry.metric_kinds import Counter, Histogram


class Recorder(Protocol):
    """Takes measurements. Must be quick and safe from any thread."""

    def count(self, counter: Counter, by: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        ...

    def observe(self, histogram: Histogram, value: float, **labels: str) -> None:
        """Add a value to a distribution."""
        ...
