"""Logs: static messages with fields, one JSON object a line; ours and those of the libraries alike.

Libraries log what they handle: Celery and kombu whole messages, urllib3 whole URLs. So their
records pass a filter that keeps the name of the logger, the level and the bare text before its
arguments are filled in, and drops the rest below WARNING.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO

import structlog

#: Libraries whose log texts may hold payloads, URLs or tokens. Their message templates are static.
_LIBRARIES = ("celery", "kombu", "amqp", "urllib3", "requests", "websocket", "websockets", "redis", "libav")


class LibraryFilter(logging.Filter):
    """Keeps a library's message template and drops its arguments and traceback.

    "Received and deleted unknown message" prints the body of a consultation otherwise. What is lost
    are a few counters in texts; what an operator needs of them is in our own messages and metrics.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Strip the record; refuse those below WARNING."""
        if record.name.partition(".")[0] not in _LIBRARIES:
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


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Set up logging for this process.

    Args:
        level: Least level of our own messages.
        form: `json` or `console`.
        stream: Where to; standard error if not given.
    """
    shared: list[Callable[..., Any]] = [
        structlog.contextvars.merge_contextvars,
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
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(LibraryFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
