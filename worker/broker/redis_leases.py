"""Redis as Celery's broker for jobs of an hour: kombu's delivery leases renewed, its reconnect corrected.

kombu keeps each delivered message in a hash and its time of delivery in a sorted set; who has not
acknowledged within the visibility timeout loses the delivery to somebody else. So that a dead
worker's jobs are taken over soon, the timeout is short, and a living worker renews its leases.

Three corrections of kombu 5.7.0 under celery 5.7.0, and one that saves CPU. `install` checks the versions;
without it a lost connection restores jobs that are still running, or ends the process, and a worker whose
clock is ahead restores everybody's jobs.

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

import importlib.metadata
import threading
from collections.abc import Callable
from typing import Any

import redis
import structlog
from celery.worker import state
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from worker import measures
from worker.broker.redis_time import ServerTime
from worker.broker.topology import MAIN_LANE, Lane
from worker.clock import Clock, SystemClock
from worker.ports import Recorder

log = structlog.get_logger(__name__)


def unacked(lane: Lane) -> str:
    """Kombu's hash of deliveries."""
    return f"{lane.work}:unacked"


def unacked_index(lane: Lane) -> str:
    """The sorted set of their times."""
    return f"{lane.work}:unacked_index"


#: Seconds for which kombu's look at the time needs no question: it has one for each delivery.
_TIME_AGE = 10.0
_CORRECTED = {"celery": "5.7.0", "kombu": "5.7.0"}


def transport_options(visibility_timeout: int, lane: Lane = MAIN_LANE) -> dict[str, Any]:
    """Kombu's options for Redis.

    Args:
        visibility_timeout: Seconds after which a delivery that nobody renewed goes to somebody else.
        lane: Whose work queue this is.
    """
    # The sweep for overdue deliveries ran every 100 s whatever the timeout (pitfalls, 3.1).
    sweep = max(1, min(5, visibility_timeout // 6))
    return {
        "visibility_timeout": visibility_timeout,
        "unacked_key": unacked(lane),
        "unacked_index_key": unacked_index(lane),
        # A worker that is killed in its sweep leaves the lock behind, and for kombu's five minutes nobody
        # would take over anything. Two sweeps at once are harmless: each restores in a WATCH transaction.
        # A name of our own, for version 0.1.0 of the worker still takes kombu's with its five minutes.
        "unacked_mutex_key": f"{lane.work}:unacked_sweep",
        "unacked_mutex_expire": sweep,
        "unacked_restore_interval": sweep,
        "unacked_restore_throttle": 1,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }


class Leases:
    """The leases of the deliveries that this process is running, renewed from a thread of its own.

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
        self._interval = visibility_timeout / 4
        self._recorder = recorder
        self._time = ServerTime(lambda: client, clock)
        self._tags: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redis-leases", daemon=True)

    def start(self) -> None:
        """Start renewing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing."""
        self._stop.set()
        self._thread.join()

    def hold(self, tag: str) -> None:
        """A delivery is being run."""
        with self._lock:
            self._tags.add(tag)

    def drop(self, tag: str) -> None:
        """A delivery is over; it will be acknowledged or handed back."""
        with self._lock:
            self._tags.discard(tag)

    def forfeit(self, tag: str) -> None:
        """A delivery that may be somebody else's by now: never acknowledge or reject it.

        kombu keeps a restored message's tag, so our acknowledgement would remove theirs. If it is still
        ours, the sweep restores it when its lease has run out.
        """
        self.drop(tag)
        _forfeited.add(tag)

    def renew(self) -> None:
        """Renew every lease once."""
        with self._lock:
            tags = tuple(self._tags)
        if not tags:
            return
        # XX: a tag that was acknowledged meanwhile must not rise again. CH: the reply tells whether it
        # was there.
        now = self._time()
        with self._client.pipeline(transaction=False) as pipe:
            for tag in tags:
                pipe.zadd(self._index, {tag: now}, xx=True, ch=True)
            renewed = pipe.execute()
        lost = [tag for tag, changed in zip(tags, renewed, strict=True) if not changed]
        self._recorder.count(measures.LEASE_RENEWALS, len(tags) - len(lost), outcome="renewed")
        if lost:
            self._recorder.count(measures.LEASE_RENEWALS, len(lost), outcome="lost")

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.renew()
            except redis.RedisError as error:
                self._recorder.count(measures.LEASE_RENEWALS, outcome="error")
                log.warning("lease_renewal_failed", error=type(error).__name__)


def install(fresh_client: Callable[[], redis.Redis]) -> None:
    """Correct kombu's Redis transport in this process.

    Args:
        fresh_client: Gives a client that works after the consumer's own connection was lost.

    Raises:
        RuntimeError: Other versions of celery or kombu are installed than the corrections were made for.
    """
    installed = {name: importlib.metadata.version(name) for name in _CORRECTED}
    if installed != _CORRECTED:
        raise RuntimeError(
            f"worker/broker/redis_leases.py corrects {_CORRECTED}, but {installed} is installed: "
            "install the pinned versions, or repeat tests/system/test_reconnect.py with the new ones"
        )
    kombu_redis.Channel._create_client = _client_once  # noqa: SLF001
    # kombu dates deliveries, and looks for overdue ones, by the clock of its own host.
    kombu_redis.time = ServerTime(fresh_client, SystemClock(), _TIME_AGE)
    kombu_redis.QoS.restore_unacked_once = _restore_when_stopping
    kombu_redis.QoS.ack = _ack_with(_original_ack, fresh_client)
    kombu_redis.QoS.reject = _reject_with(_original_reject, fresh_client)


_original_create_client = kombu_redis.Channel._create_client  # noqa: SLF001  # kombu has no other seam
_original_restore = kombu_redis.QoS.restore_unacked_once
_original_ack = kombu_redis.QoS.ack
_original_reject = kombu_redis.QoS.reject
#: Tags that are neither to be acknowledged nor rejected; as few as claims are lost.
_forfeited: set[str] = set()


def _client_once(self: Any, asynchronous: bool = False) -> Any:
    """A client is a view of its pool for any number of threads; kombu makes one for each command.

    Each costs 0.2 ms, and a job has three.
    """
    if asynchronous:
        return _original_create_client(self, asynchronous)
    kept = self.__dict__.get("_kept_client")
    if kept is None or kept.connection_pool is not self.pool:  # a lost connection takes its pool along
        kept = self._kept_client = _original_create_client(self)
    return kept


def _restore_when_stopping(self: Any, stderr: Any = None) -> Any:
    stopping = state.should_stop is not None or state.should_terminate is not None
    transport = self.channel.connection
    if not stopping or getattr(transport, "client", None) is None:
        # The connection was lost but the jobs run on, under the leases that we renew. kombu would
        # restore them here, and each would run a second time beside the first.
        return None
    return _original_restore(self, stderr)


def _ack_with(original: Callable[..., Any], fresh_client: Callable[[], redis.Redis]) -> Callable[..., Any]:
    def ack(self: Any, delivery_tag: str) -> Any:
        if delivery_tag in _forfeited:
            return virtual.QoS.ack(self, delivery_tag)
        try:
            return original(self, delivery_tag)
        except AttributeError:
            # The channel of a lost connection has no client any more; the delivery is still ours.
            with fresh_client().pipeline() as pipe:
                pipe.zrem(self.unacked_index_key, delivery_tag)
                pipe.hdel(self.unacked_key, delivery_tag)
                pipe.execute()
            return None

    return ack


def _reject_with(original: Callable[..., Any], fresh_client: Callable[[], redis.Redis]) -> Callable[..., Any]:
    def reject(self: Any, delivery_tag: str, requeue: bool = False) -> Any:
        if delivery_tag in _forfeited:
            return virtual.QoS.ack(self, delivery_tag)
        try:
            return original(self, delivery_tag, requeue=requeue)
        except AttributeError:
            # As above. Overdue at once: the next sweep of any worker restores it.
            fresh_client().zadd(self.unacked_index_key, {delivery_tag: 0}, xx=True)
            return None

    return reject
