"""Token caches of several simulated processes with one endpoint, one clock and perhaps one Redis server."""

from typing import Any

import redis
from cryptography.fernet import Fernet

from tests.fakes import FakeClock, FakeEndpoint, FakeRecorder
from worker.clock import Clock
from worker.jobs.ports import Waiter
from worker.protocol.token import TokenPolicy
from worker.store.token_cache import TokenCache

FETCH_TIMEOUT = 10.0
#: The lock outlives a request by this margin (worker/store/token_cache).
LOCK_LIFE = FETCH_TIMEOUT + 10.0
#: How long a process may go on with its own copy before it looks at Redis again.
LOCAL_LIFE = 5.0
_KEYS = "corti:v1:token:*"


def new_key() -> str:
    """A fresh encryption key."""
    return Fernet.generate_key().decode()


class TokenWorld:
    """Simulated processes, and a clock that moves time for all of them and for Redis; also their waiter.

    Args:
        client: The Redis client, or None for processes without Redis.
        keys: Encryption keys of every process that has no keys of its own.
    """

    def __init__(self, client: redis.Redis | None, keys: tuple[str, ...] = ()) -> None:
        self.client = client
        self.keys = keys
        self.clock = FakeClock()
        self.endpoint = FakeEndpoint()
        self.recorder = FakeRecorder()
        self.waited = 0.0

    def process(
        self, *, keys: tuple[str, ...] | None = None, clock: Clock | None = None, waiter: Waiter | None = None
    ) -> TokenCache:
        """The token cache of a further process."""
        return TokenCache(
            self.client,
            self.endpoint,
            name="https://auth.test/token client",
            keys=self.keys if keys is None else keys,
            fetch_timeout=FETCH_TIMEOUT,
            policy=TokenPolicy(),
            recorder=self.recorder,
            clock=clock or self.clock,
            waiter=waiter or self,
            chance=0.0,
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass for all: the processes' clock is moved, and the records in Redis are aged."""
        self.clock.wait(seconds)
        if self.client is None:
            return
        for key in self.client.scan_iter(_KEYS):
            if self.client.type(key) == b"hash":
                self.client.hincrby(key, "expires_at", -round(seconds * 1000))
            left: Any = self.client.pttl(key)
            if left > seconds * 1000:
                self.client.pexpire(key, round(left - seconds * 1000))
            else:
                self.client.delete(key)

    def wait(self, seconds: float) -> None:
        """See `worker.jobs.ports.Waiter`."""
        self.waited += seconds
        self.pass_time(seconds)

    def stored(self) -> bytes:
        """All keys and values that Redis holds."""
        assert self.client is not None
        parts = []
        for key in self.client.scan_iter():
            fields: Any = (
                self.client.hgetall(key)
                if self.client.type(key) == b"hash"
                else {b"value": self.client.get(key)}
            )
            parts += [key, *fields, *fields.values()]
        return b"\n".join(parts)
