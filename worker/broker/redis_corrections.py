"""kombu's Redis transport, corrected in place for the pinned versions; see worker/broker/redis_visibility.py.

Three corrections of kombu 5.7.0 under celery 5.7.0, one that saves CPU, and worker/broker/redis_take.py.
`install` checks the versions. Without it a lost connection restores jobs that are still running, or ends
the process, a worker whose clock is ahead restores everybody's jobs, and a job can be lost on its way.
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
#: Seconds for which kombu's look at the time needs no question: it has one for each delivery.
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


_original_create_client = kombu_redis.Channel._create_client  # noqa: SLF001  # kombu has no other seam
_original_restore = kombu_redis.QoS.restore_unacked_once
_original_ack = kombu_redis.QoS.ack
_original_reject = kombu_redis.QoS.reject
_original_sweep = kombu_redis.MultiChannelPoller.maybe_restore_messages
#: Tags of deliveries that are over, but neither to be acknowledged nor rejected; until kombu is told to.
_forfeited: set[str] = set()


def _was_forfeited(tag: str) -> bool:
    """Whether this delivery is to be left alone; true once, for the tag may come again and be ours."""
    try:
        _forfeited.remove(tag)
    except KeyError:
        return False
    return True


def _sweep(self: Any) -> Any:
    """Celery's loop waits here for a Redis that does not answer."""
    with waiting():
        return _original_sweep(self)


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
            # As above. Overdue at once: the next sweep of any worker restores it.
            with waiting():
                fresh_client().zadd(self.unacked_index_key, {delivery_tag: 0}, xx=True)
            return None

    return reject


def forfeit(tag: str) -> None:
    """Have the delivery that is over now neither acknowledged nor rejected.

    kombu keeps a restored message's tag, so an acknowledgement of ours would remove somebody else's
    delivery. If it is still ours, the sweep restores it when its lease has run out.
    """
    _forfeited.add(tag)
