"""Logs: static messages with fields, one JSON object a line; ours and those of the libraries alike.

Libraries log the data that they handle: Celery and kombu whole messages, urllib3 whole URLs. So a filter
drops their records below WARNING, and of the others keeps only the name of the logger, the level and the text
before its arguments are filled in. After that, all records are searched for what must never be logged:
worker/telemetry/redact.py.
"""

import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from worker.telemetry import trace
from worker.telemetry.redact import redact

log = structlog.get_logger(__name__)

_OURS = "worker"


class LibraryFilter(logging.Filter):
    """Keeps a library's message template and drops its arguments and traceback.

    Otherwise Celery's "Received and deleted unknown message" would print the body of a consultation. A few
    counters in texts are lost; those that an operator needs are in our own messages and metrics.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Strip the record of a library, or drop it if it is below WARNING. Ours pass as they are."""
        if record.name.partition(".")[0] == _OURS:
            return True
        if record.levelno < logging.WARNING:
            return False
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        template = record.msg if isinstance(record.msg, str) and record.args else _first_line(record.msg)
        record.msg = template if error is None else f"{template} [{error}]"
        record.args, record.exc_info, record.exc_text, record.stack_info = (), None, None, None
        return True


def _first_line(message: object) -> str:
    # A text that was filled in before logging cannot be told from a payload: only its class is kept.
    return f"<{type(message).__name__} withheld>"


def _with_trace(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    trace_id = trace.trace_id()
    if trace_id is not None:
        fields.setdefault("trace_id", trace_id)
    return fields


def _redacted(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: redact(name, value) for name, value in fields.items()}


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Set up logging for this process.

    Args:
        level: Least level of our own messages.
        form: `json`, `console`, or `auto`: console on a terminal, else JSON.
        stream: Where to; standard error if not given.
    """
    stream = stream or sys.stderr
    console = form == "console" or (form == "auto" and stream.isatty())
    shared: list[Callable[..., Any]] = [
        structlog.contextvars.merge_contextvars,
        _with_trace,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=False) if console else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _redacted,
                renderer,
            ],
        )
    )
    handler.addFilter(LibraryFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)


def guard() -> None:
    """Have exceptions that nobody caught logged by class and place; Python would print their texts."""

    def of_process(kind: type[BaseException], error: BaseException, trail: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("process_broke", error=kind.__name__, where=_place(trail), errno=_errno(error))

    def of_thread(broken: threading.ExceptHookArgs) -> None:
        log.critical(
            "thread_broke",
            error=broken.exc_type.__name__,
            where=_place(broken.exc_traceback),
            thread=broken.thread.name if broken.thread else None,
        )

    def unraisable(broken: Any) -> None:
        log.error("cleanup_broke", error=broken.exc_type.__name__, where=_place(broken.exc_traceback))

    sys.excepthook = of_process
    threading.excepthook = of_thread
    sys.unraisablehook = unraisable


def _place(trail: TracebackType | None) -> str | None:
    """Module and line of the innermost frame of ours, else of the innermost of all."""
    places = []
    while trail is not None:
        places.append((str(trail.tb_frame.f_globals.get("__name__")), trail.tb_lineno))
        trail = trail.tb_next
    ours = [place for place in places if place[0].partition(".")[0] == _OURS]
    return "{}:{}".format(*(ours or places)[-1]) if places else None


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None
