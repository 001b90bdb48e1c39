"""Renews kombu's delivery leases on Redis, because a job may run for an hour.

kombu keeps each delivered message in a hash and its time of delivery in a sorted set. A worker that has not
acknowledged a delivery within the visibility timeout loses it to another worker. The timeout is short, so
that a dead worker's jobs are taken over soon, and a living worker renews its leases.

kombu itself is corrected by `worker/broker/redis_corrections.py`.

Redis keys (kombu's own):

===========================  ======  =====================================================
key                          type    content and life
===========================  ======  =====================================================
``corti.work``               list    messages that wait
``corti.work:unacked``       hash    delivery tag -> message; until acknowledged
``corti.work:unacked_index`` zset    delivery tag -> time of delivery or renewal, by Redis's own clock
``corti.work:unacked_sweep`` string  lock of the sweep that restores overdue messages
===========================  ======  =====================================================
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import structlog

from worker.broker import redis_corrections
from worker.broker.redis_time import ServerTime
from worker.broker.topology import MAIN_LANE, Lane
from worker.clock import Clock
from worker.concurrency.background import PeriodicThread
from worker.concurrency.heartbeat import waiting
from worker.telemetry import catalogue
from worker.telemetry.recorder import Recorder

log = structlog.get_logger(__name__)


def unacked(lane: Lane) -> str:
    """Key of kombu's hash of unacknowledged messages."""
    return f"{lane.work}:unacked"


def unacked_index(lane: Lane) -> str:
    """Key of kombu's sorted set of the times of those messages."""
    return f"{lane.work}:unacked_index"


def transport_options(visibility_timeout: int, lane: Lane = MAIN_LANE) -> dict[str, Any]:
    """Kombu's options for Redis.

    Args:
        visibility_timeout: Seconds after which a delivery that was not renewed goes to another worker.
        lane: Whose work queue this is.
    """
    # By default kombu looks for overdue deliveries about every 100 s, whatever the timeout is.
    sweep = max(1, min(5, visibility_timeout // 6))
    return {
        "visibility_timeout": visibility_timeout,
        "unacked_key": unacked(lane),
        "unacked_index_key": unacked_index(lane),
        # A worker that is killed in its sweep leaves the lock behind. With kombu's expiry of five minutes,
        # nobody would take over a delivery for so long. Two sweeps at once are harmless: each restores in a
        # WATCH transaction. The key has a name of our own, because version 0.1.0 of the worker still uses
        # kombu's name, with its five minutes.
        "unacked_mutex_key": f"{lane.work}:unacked_sweep",
        "unacked_mutex_expire": sweep,
        "unacked_restore_interval": sweep,
        "unacked_restore_throttle": 1,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }


class VisibilityRenewer:
    """Renews the leases of the deliveries that this process is running, on a thread of its own.

    Args:
        client: Redis, with time-outs.
        visibility_timeout: See `transport_options`; leases are renewed every quarter of it.
        recorder: For metrics.
        clock: For time.
    """

    def __init__(
        self,
        client: redis.Redis,
        visibility_timeout: int,
        recorder: Recorder,
        clock: Clock,
        lane: Lane = MAIN_LANE,
    ) -> None:
        self._client = client
        self._index = unacked_index(lane)
        self._recorder = recorder
        self._time = ServerTime(lambda: client, clock)
        self._tags: set[str] = set()
        self._lock = threading.Lock()
        self._thread = PeriodicThread(
            "redis-leases", self._turn, visibility_timeout / 4, clock, at_once=False
        )
        self.heartbeat = self._thread.heartbeat

    def start(self) -> None:
        """Start renewing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing."""
        self._thread.stop()

    @contextmanager
    def kept(self, tag: str) -> Iterator[None]:
        """A delivery stays ours while the context lasts; then it is acknowledged, returned or forfeited."""
        with self._lock:
            self._tags.add(tag)
        try:
            yield
        finally:
            self._drop(tag)

    def forfeit(self, tag: str) -> None:
        """Have a delivery neither acknowledged nor rejected, because it may be another worker's by now."""
        self._drop(tag)
        redis_corrections.forfeit(tag)

    def renew(self) -> None:
        """Renew every lease once."""
        with self._lock:
            tags = tuple(self._tags)
        if not tags:
            return
        # XX: a tag that was acknowledged meanwhile must not be added again. CH: the reply tells whether the
        # tag was there.
        now = self._time()
        with self._client.pipeline(transaction=False) as pipe:
            for tag in tags:
                pipe.zadd(self._index, {tag: now}, xx=True, ch=True)
            renewed = pipe.execute()
        lost = [tag for tag, changed in zip(tags, renewed, strict=True) if not changed]
        self._recorder.count(catalogue.LEASE_RENEWALS, len(tags) - len(lost), outcome="renewed")
        if lost:
            self._recorder.count(catalogue.LEASE_RENEWALS, len(lost), outcome="lost")

    def _drop(self, tag: str) -> None:
        with self._lock:
            self._tags.discard(tag)

    def _turn(self) -> None:
        try:
            with waiting():
                self.renew()
        except redis.RedisError as error:
            self._recorder.count(catalogue.LEASE_RENEWALS, outcome="error")
            log.warning("lease_renewal_failed", error=type(error).__name__)
