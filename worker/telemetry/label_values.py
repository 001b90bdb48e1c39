"""The values that the labels of our counters can take, where that is a closed list.

Each series is exported from 0 on. A rate does not see the first event of a series that begins with 1. The
first failure in one of twenty workers is often the only one there, and no alert would notice it.
"""

from collections.abc import Iterable, Mapping

from worker.contract.errors import Reason
from worker.telemetry import catalogue
from worker.telemetry.metric_kinds import Counter


def _each(*values: str) -> tuple[tuple[str, ...], ...]:
    return tuple((value,) for value in values)


#: The values of a counter's labels, in their order. A counter that is missing here has an open list, such as
#: types of events or statuses of HTTP.
KNOWN: Mapping[Counter, Iterable[tuple[str, ...]]] = {
    catalogue.DOOR_MESSAGES: _each("accepted", "refused"),
    catalogue.JOBS_FINISHED: (("completed", "none"), *(("failed", reason) for reason in Reason)),
    catalogue.JOBS_RETRIED: _each(*Reason),
    catalogue.JOBS_HANDED_BACK: _each("drain", "claim_lost", "set_aside", "unconfirmed"),
    catalogue.JOBS_REPEATED: _each("dropped", "republished"),
    catalogue.DEAD_LETTERS: _each(*Reason),
    catalogue.STREAMS_ENDED: _each("ended", *Reason),
    catalogue.TOKEN_HITS: _each("process", "redis", "fetched"),
    catalogue.TOKEN_FETCHES: _each("ok", *Reason),
    catalogue.CLAIMS: _each("claimed", "taken_over", "busy", "finished"),
    catalogue.CLAIM_RENEWALS: _each("renewed", "lost", "error"),
    catalogue.LEASE_RENEWALS: _each("renewed", "lost", "error"),
    catalogue.AUDIT_RECORDS: _each("written", "lost"),
}
