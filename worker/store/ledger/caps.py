"""The caps of all tenants together, and how many jobs of each this process runs. Implements `Caps`."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import redis

from worker.concurrency.interrupt import Interrupt
from worker.store.ledger.cap import TenantCap
from worker.telemetry.recorder import Recorder


class TenantCaps:
    """The caps of all tenants.

    Args:
        client: Redis, with time-outs.
        caps: Every tenant, with the most streams that it may have at once; 0 for any number.
        slots: Jobs that this process runs at once. If there are several tenants, jobs that wait at a cap
            may occupy half of the slots, in equal shares for each tenant with a cap, so that other tenants'
            jobs go on.
        lease: Seconds a place is kept without renewal.
        recorder: For metrics.
    """

    def __init__(
        self, client: redis.Redis, caps: Mapping[str, int], *, slots: int, lease: float, recorder: Recorder
    ) -> None:
        capped = sum(most > 0 for most in caps.values())
        most_waiting = slots if len(caps) == 1 else slots // (2 * max(1, capped))
        self._caps = {
            tenant: TenantCap(
                client, tenant=tenant, most=most, most_waiting=most_waiting, lease=lease, recorder=recorder
            )
            for tenant, most in caps.items()
            if most
        }
        self._running: Counter[str] = Counter(dict.fromkeys(caps, 0))
        self._lock = threading.Lock()

    def is_full(self, tenant: str | None) -> bool:
        """See `worker.jobs.claims.Caps`."""
        cap = self._caps.get(tenant or "")
        return cap is not None and cap.is_full()

    @contextmanager
    def admitted(self, tenant: str | None, owner: str, interrupt: Interrupt) -> Iterator[None]:
        """See `worker.jobs.claims.Caps`."""
        cap = self._caps.get(tenant or "")
        with cap.admitted(owner, interrupt) if cap else nullcontext():
            self._count(tenant, 1)
            try:
                yield
            finally:
                self._count(tenant, -1)

    def running(self) -> dict[tuple[str, ...], float]:
        """How many jobs of each tenant run in this process."""
        with self._lock:
            return {(tenant,): float(number) for tenant, number in self._running.items()}

    def renew(self) -> None:
        """Renew every place that this process holds; for the thread that renews its claims."""
        for cap in self._caps.values():
            cap.renew()

    def _count(self, tenant: str | None, by: int) -> None:
        # Only tenants that this worker serves: a producer could invent any number of others.
        if tenant is not None and tenant in self._running:
            with self._lock:
                self._running[tenant] += by
