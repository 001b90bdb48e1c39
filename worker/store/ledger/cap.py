"""A cap on the streams that a tenant has open across the fleet: a leased semaphore in Redis."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from worker.concurrency.interrupt import Interrupt
from worker.jobs.claims import CapReached, LedgerUnavailable
from worker.store.ledger import scripts
from worker.store.ledger.ledger import mapped
from worker.telemetry import catalogue
from worker.telemetry.recorder import Recorder

_PAUSE = 1.0


class TenantCap:
    """Places for a tenant's streams; a job waits for a place.

    Args:
        client: Redis, with time-outs.
        tenant: Whose streams are counted.
        most: How many there may be.
        most_waiting: How many jobs of this process may wait, each in a slot; further jobs are set aside.
        lease: Seconds a place is kept without renewal.
        recorder: For metrics.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        tenant: str,
        most: int,
        most_waiting: int,
        lease: float,
        recorder: Recorder,
    ) -> None:
        self._client = client
        self._tenant = tenant
        self._key = f"corti:v1:cap:{tenant}"
        self._most = most
        self._waiters = threading.BoundedSemaphore(most_waiting)
        self._lease_ms = int(lease * 1000)
        self._recorder = recorder
        self._enter = client.register_script(scripts.ENTER)
        self._full = client.register_script(scripts.FULL)
        self._holders: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def admitted(self, owner: str, interrupt: Interrupt) -> Iterator[None]:
        """Wait for a place and hold it while the context lasts.

        Raises:
            CapReached: Too many wait already.
            Interrupted: While waiting.
        """
        if not self._try(owner):
            with self._waiting():
                while not self._try(owner):
                    self._refused()
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
                self._recorder.count(catalogue.CLAIM_RENEWALS, outcome="error")  # its lease will end

    def is_full(self) -> bool:
        """Whether all places are taken, and no further job may wait for one."""
        if self._waiters.acquire(blocking=False):
            self._waiters.release()
            return False
        try:
            with mapped():
                full = bool(self._full(keys=[self._key], args=[self._most]))
        except LedgerUnavailable:
            return False
        if full:
            self._refused()
        return full

    def renew(self) -> None:
        """Renew every place that this process holds; for the thread that renews its claims."""
        with self._lock:
            holders = list(self._holders)
        for owner in holders:
            self._try(owner)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        if not self._waiters.acquire(blocking=False):
            self._refused()
            raise CapReached
        try:
            yield
        finally:
            self._waiters.release()

    def _refused(self) -> None:
        self._recorder.count(catalogue.ADMISSIONS_REFUSED, tenant=self._tenant)

    def _try(self, owner: str) -> bool:
        try:
            with mapped():
                return bool(self._enter(keys=[self._key], args=[owner, self._lease_ms, self._most]))
        except LedgerUnavailable:
            # Without Redis streams cannot be counted, so the job is admitted: the cap only keeps an agreement
            # about their number, and no patient depends on it.
            return True
