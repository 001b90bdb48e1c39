"""The kinds of metrics that `worker/telemetry/catalogue.py` uses."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counter:
    """Something that only grows.

    Attributes:
        exemplar: Keep the trace id of the last job that made it grow.
        watched: Counted elsewhere, and asked for at each scrape.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    exemplar: bool = False
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Histogram:
    """A distribution; attributes as in `Counter`, an exemplar for each bucket."""

    name: str
    help: str
    buckets: tuple[float, ...]
    labels: tuple[str, ...] = ()
    exemplar: bool = False
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Gauge:
    """A level, asked for at each scrape."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Info:
    """A fact that does not change while a process lives; exported as `<name>_info` with the value 1."""

    name: str
    help: str
    labels: tuple[str, ...]
