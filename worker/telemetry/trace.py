"""Which trace the current work belongs to (W3C Trace Context), and the port through which spans are made.

A `traceparent` is carried by hand: from the producer's job to the door, in the header of Celery's message
to the task, in the requests to the service, in the events to the consumer. That costs next to nothing, so
it happens whether or not spans are recorded; `worker/telemetry/otel.py` records them.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

Kind = Literal["internal", "consumer", "producer", "client"]
Value = str | int | float | bool

_FORM = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current() -> str | None:
    """The traceparent of what this thread is doing, to be passed on."""
    return _current.get()


def trace_id() -> str | None:
    """The id of the current trace: 32 hexadecimal digits; None if there is none."""
    traceparent = _current.get()
    return traceparent[3:35] if traceparent else None


def headers() -> dict[str, str]:
    """The header that passes the trace on in an HTTP request."""
    traceparent = _current.get()
    return {"traceparent": traceparent} if traceparent else {}


def valid(traceparent: object) -> str | None:
    """A valid traceparent as it is, or None for anything else, so that the caller can parse it."""
    known = isinstance(traceparent, str) and _FORM.fullmatch(traceparent)
    return str(traceparent) if known else None


@contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """What happens in the context belongs to this trace; with None, to the one it belonged to before."""
    if traceparent is None:
        yield
        return
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)


class Tracer(Protocol):
    """Records spans. Names and attributes are static words, numbers and ids of ours; never content."""

    def span(
        self, name: str, *, kind: Kind = "internal", parent: str | None = None, **attributes: Value
    ) -> AbstractContextManager[None]:
        """A span that lasts as long as the context; without a parent, within the current one."""
        ...

    def note(self, name: str, **attributes: Value) -> None:
        """Note on the current span that something happened."""
        ...


class Untraced:
    """Implements `Tracer` where nothing is recorded: the producer's own trace is passed on as it is."""

    def span(
        self,
        name: str,  # noqa: ARG002
        *,
        kind: Kind = "internal",  # noqa: ARG002
        parent: str | None = None,
        **attributes: Value,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """See `Tracer`."""
        return within(parent)

    def note(self, name: str, **attributes: Value) -> None:
        """See `Tracer`."""
