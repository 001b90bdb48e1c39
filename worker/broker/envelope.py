"""What surrounds a job in a message of a broker: headers, ours and RabbitMQ's, and Celery's body.

Producers and strangers write both, too: anything may be found here.
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

#: How long Redis keeps what is known of a job set aside. It comes back after seconds; a day is for an outage.
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
    """The headers that say it again."""
    at, traceparent = known.accepted_at, known.traceparent
    return {
        **({ACCEPTED_AT: int(at.timestamp() * 1000)} if at else {}),
        **({TRACEPARENT: traceparent} if traceparent else {}),
        **({BROKEN: known.broken} if known.broken else {}),
    }


def set_aside(headers: Mapping[str, Any] | None, aside: str) -> IngressHeaders:
    """What is known of a message on `corti.jobs`: nothing, unless it comes from the queue of those set aside.

    Producers write headers, too, so only what has passed that queue is read. The count of deliveries starts
    again: a job set aside was waiting for another reason than its deliveries.

    Args:
        headers: The message's.
        aside: That queue.
    """
    passed = any(death.get("queue") == aside for death in _deaths(headers))
    return replace(ingress_headers(headers), deliveries=0) if passed else IngressHeaders()


def known_key(lane: Lane, body: bytes) -> str:
    """The key in Redis of what is known of a job set aside."""
    return f"{lane.aside}:known:{hashlib.sha256(body).hexdigest()}"


def known(stored: bytes | None) -> IngressHeaders:
    """What is known, as it lies there."""
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
    """Where a job has to be looked for: in the one text of our Celery task, or in the message itself."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body
    match value:
        case [[str() as text], {}, {}]:
            # Half of a surrogate pair makes no UTF-8, and then no job either.
            return text.encode(errors="surrogatepass")
    return body


def _deaths(headers: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    deaths = (headers or {}).get(_DEATHS)
    return [death for death in deaths if isinstance(death, Mapping)] if isinstance(deaths, list) else []
