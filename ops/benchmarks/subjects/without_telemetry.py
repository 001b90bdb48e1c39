"""The worker with its telemetry taken out: what it would cost if it told nobody anything.

`python -m ops.benchmarks.subjects.without_telemetry run` is `corti-worker run` with the recorder of metrics,
the pacer's figures, logs, the audit trail and the look at queues replaced by what does nothing, from outside,
because production code has no switch for that. What is left are the calls themselves, and the health
server, which says whether the worker is ready and costs nothing until it is asked. Spans are off by default.
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
    """In place of `worker.telemetry.metrics.Metrics`."""

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
    """In place of the pacer's figures: they stay at 0."""

    def sent(self, size: int, seconds: float, lateness: float) -> None:
        """Count nothing."""


class NoLog:
    """In place of structlog's logger, and as quiet but for the line that says where to ask for readiness."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def bind(self, **_: Any) -> Self:
        """The same."""
        return self

    new = bind

    def info(self, event: str, **fields: Any) -> None:
        """Say where the health server is, and nothing else."""
        if event == "health_serving":
            print(json.dumps({"event": event, **fields}), flush=True)

    def debug(self, *_: Any, **__: Any) -> None:
        """Say nothing."""

    warning = error = critical = debug


class NoObserver(Observer):
    """In place of the observer, which asks the broker what the metrics show: it never looks."""

    def start(self) -> None:
        """Start nothing."""

    def stop(self) -> None:
        """Stop nothing."""


def configure(*_: Any) -> None:
    """In place of `worker.telemetry.log.configure`."""
    # Any: structlog's type of a logger has methods that nobody here calls.
    quiet: Any = NoLog
    structlog.configure(processors=[], wrapper_class=quiet, cache_logger_on_first_use=True)
    # Those of the libraries.
    logging.disable(logging.CRITICAL)


def guard() -> None:
    """In place of `worker.telemetry.log.guard`: what breaks shows as Python shows it."""


_NOTHING = audit.Entry(audit.Step.RECEIVED, None)

#: Where a part of telemetry is looked up when a worker is made, its name there, and what takes its place.
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
    """Take telemetry out of this process, before a worker is made in it."""
    for place, name, nothing in REPLACED:
        setattr(place, name, nothing)


if __name__ == "__main__":
    take_out()
    cli.main(prog_name="corti-worker")
