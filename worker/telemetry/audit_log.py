"""The audit trail's own stream: one JSON object a line, appended to a file or to standard output.

A separate thread writes the records, because the reader of standard output may stop reading, and a disk may
hang. Then jobs wait once, for a moment, and audio never waits. A record for which there is no place is lost
and counted, and `/readyz` says so.
"""

import threading
from collections import deque
from contextlib import AbstractContextManager
from typing import BinaryIO, Self

import structlog
from pydantic_core import to_json

from worker.clock import Clock
from worker.concurrency.background import BackgroundThread
from worker.concurrency.heartbeat import Heartbeat, waiting
from worker.telemetry import catalogue
from worker.telemetry.audit import Entry, audit_event
from worker.telemetry.recorder import Recorder

log = structlog.get_logger(__name__)

#: Records that may wait to be written: minutes of a busy worker, in some ten MB.
MOST_WAITING = 10_000
#: How long one record waits for a place. While the trail stays blocked, later records do not wait.
PATIENCE = 1.0
#: Seconds that a process which stops waits for the remaining records to be written.
_FLUSH = 3.0
_TURN = 1.0


class AuditLog(AbstractContextManager["AuditLog"]):
    """Implements `Audit`. Records are written while its context lasts, and flushed at its end.

    Args:
        stream: Where records go; each is written and flushed whole, so that processes can share a file.
        tenant: The worker's.
        host: Where the worker runs.
        worker: The worker's name in the records.
        recorder: For metrics.
        clock: For time.
        most: Records that may wait.
        patience: Seconds that one record waits for a place.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        tenant: str,
        host: str,
        worker: str,
        recorder: Recorder,
        clock: Clock,
        most: int = MOST_WAITING,
        patience: float = PATIENCE,
    ) -> None:
        self._stream = stream
        self._tenant = tenant
        self._host = host
        self._worker = worker
        self._recorder = recorder
        self._clock = clock
        self._most = most
        self._patience = patience
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._changed = threading.Condition()
        self._blocked = False
        self._broken: str | None = None
        self._stopping = False
        self.heartbeat = Heartbeat(clock)
        self._thread = BackgroundThread("audit", self._run, self.heartbeat)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if not self._thread.join(_FLUSH):
            log.error("audit_records_unwritten", records=len(self._waiting))

    def record(self, entry: Entry) -> None:
        """See `Audit`."""
        event = audit_event(
            entry, self._clock.wall(), tenant=self._tenant, worker=self._worker, host=self._host
        )
        step, line = entry.step.name.lower(), to_json(event) + b"\n"
        with self._changed:
            if self._has_place():
                self._waiting.append((step, line))
                self._changed.notify_all()
                return
        self._lost(step, "Blocked")

    def check(self) -> str | None:
        """For readiness: None while records are written, else what is wrong."""
        if self._blocked:
            return "the audit trail is blocked, and records are lost: nobody reads it, or its disk hangs"
        return self._broken and f"the audit trail cannot be written ({self._broken}), and records are lost"

    def _has_place(self) -> bool:
        """Wait for a place, unless another record has just waited in vain."""
        if len(self._waiting) < self._most:
            return True
        if not self._blocked:
            self._blocked = not self._changed.wait_for(
                lambda: len(self._waiting) < self._most, self._patience
            )
        return len(self._waiting) < self._most

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self.heartbeat.beat()
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping, _TURN)
                if self._stopping and not self._waiting:
                    return
                taken = self._waiting.popleft() if self._waiting else None
                # Not at the first free place: with a slow reader the trail would be blocked again at once.
                if len(self._waiting) <= self._most // 2:
                    self._blocked = False
                self._changed.notify_all()
            if taken is not None:
                self._write(*taken)

    def _write(self, step: str, line: bytes) -> None:
        try:
            with waiting():
                self._stream.write(line)
                self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self._broken = type(error).__name__
            self._lost(step, self._broken)
            return
        self._broken = None
        self._recorder.count(catalogue.AUDIT_RECORDS, outcome="written")

    def _lost(self, step: str, error: str) -> None:
        self._recorder.count(catalogue.AUDIT_RECORDS, outcome="lost")
        log.error("audit_record_lost", step=step, error=error)
