"""The audit trail's own stream: one JSON object a line, appended to a file or to standard output."""

import threading
from typing import BinaryIO

import structlog
from pydantic_core import to_json

from worker import measures
from worker.audit import Entry, audit_event
from worker.clock import Clock
from worker.ports import Recorder

log = structlog.get_logger(__name__)


class AuditLog:
    """Implements `Audit`.

    Args:
        stream: Where records go; each is written and flushed whole, so that processes can share a file.
        tenant: Of the worker.
        host: Where it runs.
        worker: Its name there.
        recorder: For metrics.
        clock: For time.
    """

    def __init__(
        self, stream: BinaryIO, *, tenant: str, host: str, worker: str, recorder: Recorder, clock: Clock
    ) -> None:
        self._stream = stream
        self._tenant = tenant
        self._host = host
        self._worker = worker
        self._recorder = recorder
        self._clock = clock
        self._lock = threading.Lock()

    def record(self, entry: Entry) -> None:
        """See `Audit`."""
        event = audit_event(
            entry, self._clock.wall(), tenant=self._tenant, worker=self._worker, host=self._host
        )
        line = to_json(event) + b"\n"
        try:
            with self._lock:
                self._stream.write(line)
                self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self._recorder.count(measures.AUDIT_RECORDS, outcome="lost")
            log.error("audit_record_lost", step=entry.step.name.lower(), error=type(error).__name__)
            return
        self._recorder.count(measures.AUDIT_RECORDS, outcome="written")
