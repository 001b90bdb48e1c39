"""What surrounds a job in a broker's message: headers, ours and RabbitMQ's, and the body of Celery's task.

Producers and other programs write headers and bodies, too: expect any value in them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from worker.broker.topology import ACCEPTED_AT, BROKEN, DELIVERY_COUNT, TRACEPARENT, Lane
from worker.jobs.ingress_headers import IngressHeaders
from worker.telemetry import trace

_DEATHS = "x-death"

#: How many seconds Redis keeps the headers of a job set aside. The job comes back after seconds; a day is for
#: an outage.
KNOWN_SECONDS = 86_400


def ingress_headers(headers: Mapping[str, Any] | None) -> IngressHeaders:
    """What the door noted in the headers of a message."""
    noted = headers or {}
    at = noted.get(ACCEPTED_AT)
    plausible = isinstance(at, int) and 0 < at < 1e14  # noqa: PLR2004  # the year 5138
    accepted_at = datetime.fromtimestamp(at / 1000, UTC) if plausible and at else None
    return IngressHeaders(
        accepted_at,
        trace.valid(noted.get(TRACEPARENT)),
        broken=_count(noted.get(BROKEN)),
        deliveries=_count(noted.get(DELIVERY_COUNT)),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def noted(known: IngressHeaders) -> dict[str, Any]:
    """Message headers that `ingress_headers` can read; without deliveries, which RabbitMQ counts itself."""
    at, traceparent = known.accepted_at, known.traceparent
    return {
        **({ACCEPTED_AT: int(at.timestamp() * 1000)} if at else {}),
        **({TRACEPARENT: traceparent} if traceparent else {}),
        **({BROKEN: known.broken} if known.broken else {}),
    }


def set_aside(headers: Mapping[str, Any] | None, aside: str) -> IngressHeaders:
    """What a door noted on a message on `corti.jobs`; empty unless the message was set aside before.

    Producers write headers, too, so headers are read only if the message has passed that queue. The count of
    deliveries starts again: a job is set aside for other reasons than its deliveries.

    Args:
        headers: The message's.
        aside: Name of the queue of jobs set aside.
    """
    passed = any(death.get("queue") == aside for death in _deaths(headers))
    return replace(ingress_headers(headers), deliveries=0) if passed else IngressHeaders()


def known_key(lane: Lane, body: bytes) -> str:
    """The key in Redis of the headers of a job set aside."""
    return f"{lane.aside}:known:{hashlib.sha256(body).hexdigest()}"


def known(stored: bytes | None) -> IngressHeaders:
    """The headers of a job set aside, as stored at `known_key`; empty if they cannot be read."""
    try:
        value = json.loads(stored or b"null")
    except ValueError:
        return IngressHeaders()
    return ingress_headers(value) if isinstance(value, dict) else IngressHeaders()


def last_death(headers: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """From which queue RabbitMQ moved the message here, and why; None where it did not say."""
    for death in _deaths(headers):
        queue, reason = death.get("queue"), death.get("reason")
        if isinstance(queue, str) and isinstance(reason, str):
            return queue, reason
    return None


def job_in(body: bytes) -> bytes:
    """The bytes in which to look for a job: the one text of our Celery task, or else the message itself."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body
    match value:
        case [[str() as text], {}, {}]:
            # Half of a surrogate pair gives invalid UTF-8, in which no job will be found.
            return text.encode(errors="surrogatepass")
    return body


def _deaths(headers: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    deaths = (headers or {}).get(_DEATHS)
    return [death for death in deaths if isinstance(death, Mapping)] if isinstance(deaths, list) else []
