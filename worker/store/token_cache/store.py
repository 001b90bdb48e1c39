"""The token's record and the lock of its refresh, in Redis; the package's docstring lists the keys."""

import hashlib
from contextlib import suppress

import redis
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from redis.exceptions import LockError

from worker.clock import Clock
from worker.protocol.token import Token

_LOAD = """
local record = redis.call('HMGET', KEYS[1], 'value', 'generation', 'expires_at', 'lifetime')
if not record[1] then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return {record[1], record[2], record[3] - now, tonumber(record[4])}
"""
_STORE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'value', ARGV[1], 'generation', ARGV[2],
           'expires_at', now + ARGV[3], 'lifetime', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
#: Deletes only the very token that was refused: a slow worker must not remove a newer one.
_REFUSE = """
if redis.call('HGET', KEYS[1], 'generation') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Unreadable(Exception):
    """The record was written with a key that we do not have, or is broken; Redis drops it when it expires."""


class SharedToken:
    """The record and the lock in Redis.

    Args:
        client: Redis, with time-outs.
        name: What the token is for.
        keys: Fernet keys, newest first; empty: stored in clear.
        lock_life: Seconds after which the lock of a process that died is free again.
        clock: For time.
    """

    def __init__(
        self, client: redis.Redis, name: str, keys: tuple[str, ...], lock_life: float, clock: Clock
    ) -> None:
        # Processes with and without keys could not read each other's records: each kind has its own.
        kind = "encrypted" if keys else "clear"
        self._key = f"corti:v1:token:{hashlib.sha256(f'{name} {kind}'.encode()).hexdigest()[:32]}"
        # One thread takes the lock, and another may release it.
        self._lock = client.lock(f"{self._key}:lock", lock_life, blocking=False, thread_local=False)
        self._cipher = MultiFernet([Fernet(key) for key in keys]) if keys else None
        self._clock = clock
        self._load = client.register_script(_LOAD)
        self._store = client.register_script(_STORE)
        self._refuse = client.register_script(_REFUSE)

    def load(self) -> Token | None:
        """The token, or None when there is none.

        Raises:
            Unreadable: There is one that we cannot read.
        """
        asked_at = self._clock.monotonic()
        record = self._load(keys=[self._key])
        if not record:
            return None
        try:
            value, generation, left_ms, lifetime_ms = record
            plain = self._cipher.decrypt(value) if self._cipher else value
            return Token(plain.decode(), generation.decode(), asked_at + left_ms / 1000, lifetime_ms / 1000)
        except (InvalidToken, ValueError):
            # Do not replace the record: its owner could not read ours, and both would fetch in turns.
            raise Unreadable from None

    def save(self, token: Token) -> None:
        """Share a token for as long as it lives."""
        plain = token.value.encode()
        left_ms = int((token.expires_at - self._clock.monotonic()) * 1000)
        if left_ms > 0:
            value = self._cipher.encrypt(plain) if self._cipher else plain
            self._store(keys=[self._key], args=[value, token.generation, left_ms, int(token.lifetime * 1000)])

    def acquire(self) -> bool:
        """Try to take the lock: its holder is the one that fetches."""
        return bool(self._lock.acquire())

    def release(self) -> None:
        """Release the lock; the lock of another process stays."""
        with suppress(LockError):  # its time was over, and somebody else has it
            self._lock.release()

    def refuse(self, generation: str) -> None:
        """Remove the token with this generation, and no other."""
        self._refuse(keys=[self._key], args=[generation])
