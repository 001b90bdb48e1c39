"""The cache itself: who fetches a token, who waits, and which token is used when Redis is away."""

import threading
from typing import Protocol
from uuid import uuid4

import redis
import structlog

from worker.clock import Clock, Deadline
from worker.contract.errors import JobError, TransientError
from worker.jobs.ports import Waiter
from worker.protocol.token import Freshness, Grant, Token, TokenPolicy
from worker.store.token_cache.store import SharedToken, Unreadable
from worker.telemetry import catalogue
from worker.telemetry.recorder import Recorder

log = structlog.get_logger(__name__)

#: Longer than a token request may take, so that a slow fetch is not doubled.
_LOCK_MARGIN = 10.0
#: A process looks at Redis again after this long, so that a refusal elsewhere reaches it.
_LOCAL_LIFE = 5.0
_POLL = 0.05
#: After a failed fetch nobody in this process asks again for this long: it would not help.
_COOL_DOWN = 1.0
#: The longest `Retry-After` that is granted: jobs do not wait longer either (RetryPolicy.cap).
_LONGEST_COOL_DOWN = 60.0


class Endpoint(Protocol):
    """Where tokens come from."""

    def fetch(self) -> Grant:
        """Request a token; raises JobError."""
        ...


class TokenCache:
    """Implements the `Tokens` port.

    Args:
        client: Redis, with time-outs; None where there is none.
        endpoint: Where tokens come from.
        name: What the token is for (endpoint and client id); hashed into the key.
        keys: Fernet keys, newest first; empty: stored in clear.
        fetch_timeout: How long a request may take.
        policy: When to refresh.
        recorder: For metrics.
        clock: For time.
        waiter: For waiting.
        chance: A random number in 0..1, by which the processes refresh at different times.
    """

    def __init__(
        self,
        client: redis.Redis | None,
        endpoint: Endpoint,
        *,
        name: str,
        keys: tuple[str, ...],
        fetch_timeout: float,
        policy: TokenPolicy,
        recorder: Recorder,
        clock: Clock,
        waiter: Waiter,
        chance: float,
    ) -> None:
        self._store = SharedToken(client, name, keys, fetch_timeout + _LOCK_MARGIN, clock) if client else None
        self._endpoint = endpoint
        self._fetch_timeout = fetch_timeout
        self._policy = policy
        self._recorder = recorder
        self._clock = clock
        self._waiter = waiter
        self._chance = chance
        self._single_flight = threading.Lock()
        self._token: Token | None = None
        self._looked_at = float("-inf")
        self._cool_down: tuple[Deadline, JobError] | None = None

    def get(self) -> Token:
        """See `worker.jobs.ports.Tokens`."""
        token = self._local()
        if token is not None and self._freshness(token) is Freshness.FRESH:
            self._recorder.count(catalogue.TOKEN_HITS, layer="process")
            return token
        asked_at = self._clock.monotonic()
        usable = token is not None and self._freshness(token) is Freshness.DUE
        # While one thread renews a token that is still good, the others go on using it.
        if not self._single_flight.acquire(blocking=not usable):
            assert token is not None  # noqa: S101  # `usable` says so; for the type checker
            return token
        try:
            return self._renew()
        finally:
            self._single_flight.release()
            self._recorder.observe(catalogue.TOKEN_WAIT_SECONDS, self._clock.monotonic() - asked_at)

    def refused(self, token: Token) -> None:
        """See `worker.jobs.ports.Tokens`."""
        self._recorder.count(catalogue.TOKEN_REFUSALS)
        current = self._token
        if current is not None and current.generation == token.generation:
            self._token = None
        if self._store:
            try:
                self._store.refuse(token.generation)
            except redis.RedisError as error:
                self._cache_error(error)

    def age(self) -> float | None:
        """Seconds since the token that this process holds was issued, or None while it holds none."""
        token = self._token
        if token is None or self._freshness(token) is Freshness.EXPIRED:
            return None
        return token.lifetime - (token.expires_at - self._clock.monotonic())

    def healthy(self) -> bool:
        """Whether this process got a token when it last asked for one."""
        return self._cool_down is None

    # -- one thread at a time ------------------------------------------------------------------

    def _renew(self) -> Token:
        token = self._local()
        if token is not None and self._freshness(token) is Freshness.FRESH:
            return token  # somebody was faster while we waited for the lock
        if self._store is not None:
            try:
                return self._renew_shared(self._store)
            except (redis.RedisError, Unreadable) as error:
                self._cache_error(error)
                fallback = self._token
                if fallback is not None and self._freshness(fallback) is not Freshness.EXPIRED:
                    self._looked_at = self._clock.monotonic()
                    return fallback
        return self._fetch_instead_of(token)

    def _renew_shared(self, store: SharedToken) -> Token:
        deadline = Deadline.after(self._fetch_timeout + _LOCK_MARGIN, self._clock.monotonic())
        while True:
            token = store.load()
            freshness = self._freshness(token) if token else Freshness.EXPIRED
            if token and freshness is Freshness.FRESH:
                return self._keep(token, "redis")
            if store.acquire():
                try:
                    return self._fetch_shared(store, token)
                finally:
                    store.release()
            if token and freshness is Freshness.DUE:
                return self._keep(token, "redis")
            if deadline.passed(self._clock.monotonic()):
                # The holder of the lock is stuck. Two tokens are better than none.
                return self._fetch()
            self._waiter.wait(_POLL)

    def _fetch_shared(self, store: SharedToken, seen: Token | None) -> Token:
        latest = store.load()  # between our look and our lock somebody may have been faster
        faster = latest is not None and (seen is None or latest.generation != seen.generation)
        if latest and faster and self._freshness(latest) is Freshness.FRESH:
            return self._keep(latest, "redis")
        token = self._fetch_instead_of(latest)
        if token is not latest:
            store.save(token)
        return token

    def _fetch_instead_of(self, old: Token | None) -> Token:
        """A new token, or the old one if that is still good and no new one can be had."""
        try:
            return self._fetch()
        except JobError:
            if old is None or self._freshness(old) is Freshness.EXPIRED:
                raise
            self._token, self._looked_at = old, self._clock.monotonic()
            return old

    def _fetch(self) -> Token:
        if self._cool_down and not self._cool_down[0].passed(self._clock.monotonic()):
            raise self._cool_down[1].with_traceback(None)
        # Counted from before the request, so that its own duration cannot make a token look younger.
        asked_at = self._clock.monotonic()
        try:
            grant = self._endpoint.fetch()
        except JobError as error:
            self._recorder.count(catalogue.TOKEN_FETCHES, outcome=error.reason)
            wait = error.retry_after if isinstance(error, TransientError) else None
            cool_down = min(wait or _COOL_DOWN, _LONGEST_COOL_DOWN)
            self._cool_down = Deadline.after(cool_down, self._clock.monotonic()), error
            raise
        finally:
            self._recorder.observe(catalogue.TOKEN_FETCH_SECONDS, self._clock.monotonic() - asked_at)
        self._recorder.count(catalogue.TOKEN_FETCHES, outcome="ok")
        token = Token(grant.value, uuid4().hex, asked_at + grant.expires_in, grant.expires_in)
        return self._keep(token, "fetched")

    def _keep(self, token: Token, layer: str) -> Token:
        self._recorder.count(catalogue.TOKEN_HITS, layer=layer)
        self._token, self._looked_at = token, self._clock.monotonic()
        self._cool_down = None
        return token

    def _local(self) -> Token | None:
        now = self._clock.monotonic()
        return self._token if now - self._looked_at < _LOCAL_LIFE or self._store is None else None

    def _freshness(self, token: Token) -> Freshness:
        return self._policy.judge(token, self._clock.monotonic(), self._chance)

    def _cache_error(self, error: Exception) -> None:
        self._recorder.count(catalogue.TOKEN_CACHE_ERRORS)
        log.warning("token_cache_unavailable", error=type(error).__name__)
