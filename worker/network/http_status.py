"""What an HTTP status that is no success says about another try, whichever server sent it."""

from datetime import datetime
from email.utils import parsedate_to_datetime

UNAUTHORIZED = 401
FORBIDDEN = 403
TOO_MANY_REQUESTS = 429
_PASSES = frozenset({408, 425, TOO_MANY_REQUESTS})
_SERVER_ERRORS = 500


def passes(status: int) -> bool:
    """Whether the status is temporary: a time-out, too many requests, or a fault of the server."""
    return status in _PASSES or status >= _SERVER_ERRORS


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a `Retry-After` header: a number, or an HTTP date (RFC 9110, section 10.2.3).

    Args:
        value: Of the header; None where there is none.
        now: By the wall clock.

    Returns:
        None where the header says nothing that can be read.
    """
    if not value:
        return None
    number = value.strip()
    if number.isascii() and number.isdigit():
        return float(number)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None
