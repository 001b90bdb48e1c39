"""kombu's Redis transport, corrected in place for the pinned versions; see worker/broker/redis_visibility.py.

Three corrections of kombu 5.7.0 under celery 5.7.0, one that saves CPU, and worker/broker/redis_take.py.
`install` checks the versions. Without the corrections a lost connection restores jobs that are still running,
or ends the process; a worker whose clock is ahead restores the jobs of all workers; and a job can be lost
while a worker takes it.
"""

import importlib.metadata
from collections.abc import Callable
from typing import Any

import redis
from celery.worker import state
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from worker.broker import redis_take
from worker.broker.redis_time import ServerTime
from worker.clock import SystemClock
from worker.concurrency.heartbeat import waiting

_CORRECTED = {"celery": "5.7.0", "kombu": "5.7.0"}
#: Seconds for which one answer about the time is used: kombu wants the time for each delivery.
_TIME_AGE = 10.0


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
            f"worker/broker/redis_corrections.py corrects {_CORRECTED}, but {installed} is installed: "
            "install the pinned versions, or repeat tests/system/test_reconnect.py with the new ones"
        )
    kombu_redis.Channel._create_client = _client_once  # noqa: SLF001
    # kombu dates deliveries, and looks for overdue ones, by the clock of its own host.
    kombu_redis.time = ServerTime(fresh_client, SystemClock(), _TIME_AGE)
    kombu_redis.MultiChannelPoller.maybe_restore_messages = _sweep
    kombu_redis.QoS.restore_unacked_once = _restore_when_stopping
    kombu_redis.QoS.ack = _ack_with(_original_ack, fresh_client)
    kombu_redis.QoS.reject = _reject_with(_original_reject, fresh_client)
    redis_take.install()


_original_create_client = kombu_redis.Channel._create_client  # noqa: SLF001  # kombu has no hook for it
_original_restore = kombu_redis.QoS.restore_unacked_once
_original_ack = kombu_redis.QoS.ack
_original_reject = kombu_redis.QoS.reject
_original_sweep = kombu_redis.MultiChannelPoller.maybe_restore_messages
#: Tags of deliveries that must be neither acknowledged nor rejected. A tag stays here until kombu is told to
#: do either.
_forfeited: set[str] = set()


def _was_forfeited(tag: str) -> bool:
    """Whether to leave this delivery alone. True only once: the tag may come again for a delivery of ours."""
    try:
        _forfeited.remove(tag)
    except KeyError:
        return False
    return True


def _sweep(self: Any) -> Any:
    """Mark the wait: Redis may not answer, and Celery's loop waits for it here."""
    with waiting():
        return _original_sweep(self)


def _client_once(self: Any, asynchronous: bool = False) -> Any:
    """Keep one client for each pool; kombu makes a new one for each command.

    A client is only a view of its pool, and any number of threads can use it. A new one costs 0.2 ms, and
    each job needs three.
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
        if _was_forfeited(delivery_tag):
            return virtual.QoS.ack(self, delivery_tag)
        try:
            with waiting():
                return original(self, delivery_tag)
        except AttributeError:
            # The channel of a lost connection has no client any more; the delivery is still ours.
            with waiting(), fresh_client().pipeline() as pipe:
                pipe.zrem(self.unacked_index_key, delivery_tag)
                pipe.hdel(self.unacked_key, delivery_tag)
                pipe.execute()
            return None

    return ack


def _reject_with(original: Callable[..., Any], fresh_client: Callable[[], redis.Redis]) -> Callable[..., Any]:
    def reject(self: Any, delivery_tag: str, requeue: bool = False) -> Any:
        if _was_forfeited(delivery_tag):
            return virtual.QoS.ack(self, delivery_tag)
        try:
            with waiting():
                return original(self, delivery_tag, requeue=requeue)
        except AttributeError:
            # As above. Make the delivery overdue: the next sweep of any worker restores its message.
            with waiting():
                fresh_client().zadd(self.unacked_index_key, {delivery_tag: 0}, xx=True)
            return None

    return reject


def forfeit(tag: str) -> None:
    """Have a delivery that ends now neither acknowledged nor rejected.

    A message that kombu restores keeps its tag, so our acknowledgement would remove another worker's delivery
    of it. If the delivery is still ours, the sweep restores the message when the lease has run out.
    """
    _forfeited.add(tag)
