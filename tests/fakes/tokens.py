"""An auth server in memory."""

import threading
from uuid import uuid4

from worker.contract.errors import JobError
from worker.protocol.token import Grant

_PATIENCE = 20.0


class FakeEndpoint:
    """Issues tokens; can be slow (`gate`) and fail (`failure`)."""

    def __init__(self) -> None:
        self.expires_in = 300.0
        self.failure: JobError | None = None
        self.requests = 0
        self.asked = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()

    def fetch(self) -> Grant:
        with self._lock:
            self.requests += 1
        self.asked.set()
        assert self.gate.wait(_PATIENCE), "the test did not open the gate again"
        if self.failure is not None:
            raise self.failure
        return Grant(f"token-{uuid4().hex}", self.expires_in)
