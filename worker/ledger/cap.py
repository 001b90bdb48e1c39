"""A cap on the streams that a tenant has open across the fleet: a leased semaphore in Redis."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from worker import measures
from worker.claims import LedgerUnavailable
from worker.interrupt import Interrupt
from worker.ledger import scripts
from worker.ledger.ledger import mapped
from worker.ports import Recorder

_PAUSE = 1.0


class TenantCap:
    """Places for streams; a job waits for one.

    Args:
        client: Redis, with time-outs.
        tenant: Whose streams are counted.
        most: How many there may be; 0 for any number.
        lease: Seconds a place is kept without renewal.
        recorder: For metrics.
    """

    def __init__(
        self, client: redis.Redis, *, tenant: str, most: int, lease: float, recorder: Recorder
    ) -> None:
        self._client = client
        self._key = f"corti:v1:cap:{tenant}"
        self._most = most
        self._lease_ms = int(lease * 1000)
        self._recorder = recorder
        self._enter = client.register_script(scripts.ENTER)
        self._holders: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def place(self, owner: str, interrupt: Interrupt) -> Iterator[None]:
        """Wait for a place and hold it while the context lasts.

        Raises:
            Interrupted: While waiting.
        """
        if self._most == 0:
            yield
            return
        while not self._try(owner):
            self._recorder.count(measures.ADMISSIONS_REFUSED)
            interrupt.wait(_PAUSE)
        with self._lock:
            self._holders.add(owner)
        try:
            yield
        finally:
            with self._lock:
                self._holders.discard(owner)
            try:
                with mapped():
                    self._client.zrem(self._key, owner)
            except LedgerUnavailable:
                self._recorder.count(measures.CLAIM_RENEWALS, outcome="error")  # its lease will end

    def renew(self) -> None:
        """Renew every place that this process holds; for the thread that renews its claims."""
        with self._lock:
            holders = list(self._holders)
        for owner in holders:
            self._try(owner)

    def _try(self, owner: str) -> bool:
        try:
            with mapped():
                return bool(self._enter(keys=[self._key], args=[owner, self._lease_ms, self._most]))
        except LedgerUnavailable:
            # Without Redis nothing can be counted. The cap protects an agreement, not a patient.
            return True
