"""Statistics of the server: counters, and one record for each stream."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class StreamRecord:
    """One socket from its upgrade to its close. Times are seconds since the start of the server."""

    interaction_id: str
    encounter_identifier: str
    tenant: str
    #: 1 for the first socket of an interaction.
    stream_number: int
    secure: bool
    opened_at: float
    configured_at: float | None = None
    first_audio_at: float | None = None
    last_audio_at: float | None = None
    end_received_at: float | None = None
    ended_at: float | None = None
    closed_at: float | None = None
    audio_bytes: int = 0
    chunks: int = 0
    max_chunk_bytes: int = 0
    audio_seconds: float = 0.0
    #: Maximum lead of the audio over a live source, in seconds; 0 for exact pacing.
    max_ahead_seconds: float = 0.0
    #: Maximum lag of the audio behind a live source, in seconds.
    max_behind_seconds: float = 0.0
    configuration: dict[str, Any] | None = None
    transcripts: int = 0
    facts: int = 0
    #: Code of the closing handshake; ``None`` while the socket is open, 1006 without a handshake.
    close_code: int | None = None
    #: Whether ENDED was sent.
    ended: bool = False
    faults: list[str] = field(default_factory=list)
    _digest: Any = field(default_factory=hashlib.sha256, repr=False)
    _head: float | None = field(default=None, repr=False)

    def received(self, data: bytes, at: float) -> None:
        """Count one binary frame that arrived ``at`` seconds after the start of the server."""
        if self.first_audio_at is None:
            self.first_audio_at = at
        self.last_audio_at = at
        self.audio_bytes += len(data)
        self.chunks += 1
        self.max_chunk_bytes = max(self.max_chunk_bytes, len(data))
        self._digest.update(data)

    def heard(self, seconds: float, at: float) -> None:
        """Record that ``seconds`` of audio were decoded by ``at``, for the pacing figures.

        A live source sends a chunk after recording it, so the first chunk's length does not count as lead.
        """
        if self.first_audio_at is None or seconds <= self.audio_seconds:
            return
        behind = (at - self.first_audio_at) - (seconds - (self._head or seconds))
        if self._head is None:
            self._head = seconds
        self.audio_seconds = seconds
        self.max_ahead_seconds = max(self.max_ahead_seconds, -behind)
        self.max_behind_seconds = max(self.max_behind_seconds, behind)

    def as_json(self) -> dict[str, Any]:
        """Return the record with the SHA-256 of all audio bytes in the order received."""
        public = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return {**public, "sha256": self._digest.hexdigest()}


class Stats:
    """All counters of one server."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._open: dict[str, int] = {}
        self._records: list[StreamRecord] = []
        self._live: list[StreamRecord] = []
        self._zero()

    def _zero(self) -> None:
        self.token_requests: Counter[str] = Counter()
        self.tokens_issued = 0
        self.tokens_by_realm: Counter[str] = Counter()
        self.rest: dict[str, Counter[str]] = {}
        self.interactions_created = 0
        self.sockets_refused: Counter[str] = Counter()
        self.sockets_opened = 0
        self.max_open = len(self._live)
        self.overlaps = 0
        self._records = list(self._live)

    def since_start(self, now: float) -> float:
        """Convert ``now`` to seconds since the start of the server, as used in records."""
        return round(now - self._started, 4)

    def rest_request(self, operation: str, status: int | str) -> None:
        """Count one REST request by operation and status; status ``cut`` means a cut connection."""
        self.rest.setdefault(operation, Counter())[str(status)] += 1

    def opened(self, record: StreamRecord) -> None:
        """Count an upgraded socket; it is an overlap when its interaction has another open socket."""
        self.sockets_opened += 1
        already = self._open.get(record.interaction_id, 0)
        self.overlaps += already > 0
        self._open[record.interaction_id] = already + 1
        self._records.append(record)
        self._live.append(record)
        self.max_open = max(self.max_open, len(self._live))

    def closed(self, record: StreamRecord, code: int | None, now: float) -> None:
        """Record the end of a socket."""
        record.close_code, record.closed_at = code, self.since_start(now)
        self._live.remove(record)
        left = self._open[record.interaction_id] - 1
        if left:
            self._open[record.interaction_id] = left
        else:
            del self._open[record.interaction_id]

    def reset(self) -> None:
        """Set all counters to zero and delete records of closed sockets; open sockets keep their records."""
        self._zero()

    def as_json(self, *, summary: bool) -> dict[str, Any]:
        """Return the body of ``GET /_sandbox/stats``; with ``summary`` without ``streams``."""
        answer: dict[str, Any] = {
            "token_requests": dict(self.token_requests),
            "tokens_issued": self.tokens_issued,
            "tokens_by_realm": dict(self.tokens_by_realm),
            "rest_requests": {operation: dict(counts) for operation, counts in self.rest.items()},
            "interactions_created": self.interactions_created,
            "sockets_opened": self.sockets_opened,
            "sockets_refused": dict(self.sockets_refused),
            "sockets_open": len(self._live),
            "max_sockets_open": self.max_open,
            "overlaps": self.overlaps,
            "streams_ended": sum(record.ended for record in self._records),
            "audio_bytes": sum(record.audio_bytes for record in self._records),
            "audio_seconds": round(sum(record.audio_seconds for record in self._records), 3),
        }
        if not summary:
            answer["streams"] = [record.as_json() for record in self._records]
        return answer
