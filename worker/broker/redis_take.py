"""Takes messages from Celery's queue on Redis, each in one step that Redis does completely or not at all.

kombu pops a message (BRPOP) and afterwards writes it to the unacknowledged messages. In between the message
is in no key of Redis. The job is lost if the worker is killed then, if the connection breaks, or if the
memory of Redis is full: then Redis allows the pop and refuses the write. Here one script does both.

A script cannot wait. So the worker waits with BLMOVE from the end of the queue to the same end, which
changes nothing. A message wakes every worker that waits, and all but one of them find it gone. That costs
each of them some tenths of a millisecond.
"""

from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.transport.virtual import Empty
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from worker.concurrency.heartbeat import waiting

#: KEYS: the queue, the unacknowledged messages, their times. The script writes what kombu would write, with
#: the text of the message as it is: decoded and encoded again by Lua, numbers and empty lists would change.
#: The pop comes last: a Redis whose memory is full refuses a script at its first write that needs memory. A
#: message that kombu did not make is popped as it is, and the consumer deals with it.
_SCRIPT = """
local text = redis.call('LINDEX', KEYS[1], -1)
if not text then return false end
local read, message = pcall(cjson.decode, text)
local properties = read and type(message) == 'table' and message['properties']
local info = type(properties) == 'table' and properties['delivery_info']
local tag = info and properties['delivery_tag']
if type(info) == 'table' and type(tag) == 'string' and type(info['exchange']) == 'string'
   and type(info['routing_key']) == 'string' then
  local time = redis.call('TIME')
  local kept = '[' .. text .. ', ' .. cjson.encode(info['exchange']) .. ', '
               .. cjson.encode(info['routing_key']) .. ']'
  redis.call('ZADD', KEYS[3], time[1] + time[2] / 1000000, tag)
  redis.call('HSET', KEYS[2], tag, kept)
  redis.call('RPOP', KEYS[1])
  return {text, tag}
end
redis.call('RPOP', KEYS[1])
return {text, ''}
"""


def install() -> None:
    """Correct kombu's Redis transport in this process."""
    kombu_redis.Channel._brpop_start = _wait  # noqa: SLF001  # kombu has no hook for it
    kombu_redis.Channel._brpop_read = _take  # noqa: SLF001
    kombu_redis.QoS.append = _append


_original_append = kombu_redis.QoS.append


def _wait(self: Any, timeout: float | None = None) -> None:
    """Ask Redis to answer when there is a message, or when the time is over."""
    queues = self._queue_cycle.consume(len(self.active_queues))
    if not queues:
        return
    self._waits_at = queues[0]
    key = self._q_for_pri(queues[0], 0)
    self._in_poll = self.client.connection
    self._brpop_sent_at = kombu_redis.monotonic()
    self.client.connection.send_command("BLMOVE", key, key, "RIGHT", "RIGHT", timeout or self.brpop_timeout)


def _take(self: Any, **options: Any) -> bool:
    """Read the answer to `_wait`, take a message and deliver it. Raises Empty if there is none (any more)."""
    try:
        try:
            seen = self.client.parse_response(self.client.connection, "BLMOVE", **options)
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
    finally:
        self._in_poll = None
        self._flush_brpop_reauth()
    queue = self._waits_at
    # A consumer that was cancelled meanwhile takes nothing.
    if seen is None or self._closing or queue not in self.active_queues:
        raise Empty
    keys = [self._q_for_pri(queue, 0), self.unacked_key, self.unacked_index_key]
    with waiting(), self.conn_or_acquire() as client:
        taken = client.register_script(_SCRIPT)(keys=keys)
    if not taken:
        raise Empty
    text, tag = taken
    self._queue_cycle.rotate(queue)
    self._noted = bytes_to_str(tag)
    try:
        self.connection._deliver(loads(bytes_to_str(text)), queue)  # noqa: SLF001
    finally:
        self._noted = None
    return True


def _append(self: Any, message: Any, delivery_tag: str) -> Any:
    """Note a delivery; in Redis only if the script has not done so."""
    if delivery_tag and getattr(self.channel, "_noted", None) == delivery_tag:
        return virtual.QoS.append(self, message, delivery_tag)
    return _original_append(self, message, delivery_tag)
