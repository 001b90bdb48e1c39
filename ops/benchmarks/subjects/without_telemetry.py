"""The worker without telemetry, to measure what telemetry costs.

`python -m ops.benchmarks.subjects.without_telemetry run` is `corti-worker run` with objects that do nothing
in place of metrics, the pacer's figures, logs, the audit trail and the observer of queues. They are replaced
from outside, because production code has no switch for that. The calls themselves remain, and the health
server, which reports readiness and costs nothing without requests. Spans are off by default.
"""

import json
import logging
from collections.abc import Callable
from typing import Any, Self

import structlog

from worker import cli
from worker.corti.stream import pacer
from worker.process import app, telemetry
from worker.process.observer import Observer
from worker.telemetry import audit, log


class NoMetrics:
    """Replaces `worker.telemetry.metrics.Metrics`."""

    def count(self, *_: Any, **__: str) -> None:
        """Count nothing."""

    def observe(self, *_: Any, **__: str) -> None:
        """Record nothing."""

    def begin(self, *_: Any) -> None:
        """Export nothing."""

    def watch(self, *_: Any) -> None:
        """Ask nobody."""

    def watch_total(self, *_: Any) -> None:
        """Ask nobody."""

    def watch_distribution(self, *_: Any) -> None:
        """Ask nobody."""

    def page(self, _accept: str) -> tuple[str, bytes]:
        """An empty page."""
        return "text/plain", b""


class NoFigures(pacer.Figures):
    """Replaces the pacer's figures, which stay at 0."""

    def sent(self, size: int, seconds: float, lateness: float) -> None:
        """Count nothing."""


class NoLog:
    """Replaces structlog's logger, and writes only the line with the address of the health server."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def bind(self, **_: Any) -> Self:
        """Return this logger."""
        return self

    new = bind

    def info(self, event: str, **fields: Any) -> None:
        """Write the event `health_serving`, and no other."""
        if event == "health_serving":
            print(json.dumps({"event": event, **fields}), flush=True)

    def debug(self, *_: Any, **__: Any) -> None:
        """Write nothing."""

    warning = error = critical = debug


class NoObserver(Observer):
    """Replaces the observer, which reads queue depths for the metrics. This class never reads any."""

    def start(self) -> None:
        """Start nothing."""

    def stop(self) -> None:
        """Stop nothing."""


def configure(*_: Any) -> None:
    """Replaces `worker.telemetry.log.configure`."""
    # Any, because structlog's type of a logger has more methods than `NoLog`.
    quiet: Any = NoLog
    structlog.configure(processors=[], wrapper_class=quiet, cache_logger_on_first_use=True)
    # The logs of libraries.
    logging.disable(logging.CRITICAL)


def guard() -> None:
    """Replaces `worker.telemetry.log.guard`; Python reports uncaught exceptions in its own way."""


_NOTHING = audit.Entry(audit.Step.RECEIVED, None)

#: For each part of telemetry: the object that the worker reads it from, its name there, and its replacement.
REPLACED: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (telemetry, "Metrics", NoMetrics),
    (telemetry.Telemetry, "_audit", lambda *_: audit.Unaudited()),
    (audit.Entry, "of", lambda *_, **__: _NOTHING),
    (pacer, "Figures", NoFigures),
    (app, "Observer", NoObserver),
    (log, "configure", configure),
    (log, "guard", guard),
)


def take_out() -> None:
    """Remove telemetry from this process. Call it before a worker is created."""
    for place, name, nothing in REPLACED:
        setattr(place, name, nothing)


if __name__ == "__main__":
    take_out()
    cli.main(prog_name="corti-worker")
