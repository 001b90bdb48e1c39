"""Corti's side of a process: the threads that move all streams, and for each tenant its transcriber."""

import random
from contextlib import ExitStack
from functools import cache

import redis
import requests

from worker.clock import Clock
from worker.concurrency.heartbeat import Heartbeat
from worker.concurrency.offload import OffloadExecutor
from worker.corti.rest import RestInteractions, TokenEndpoint, http_session
from worker.corti.stream import AdmissionGate, Feeder, Pacer, WebSocketStreams
from worker.jobs.ports import Waiter
from worker.jobs.transcribe import Transcriber
from worker.network import trust
from worker.process.audio_side import AudioSide
from worker.process.offloaded import OffloadedInteractions, OffloadedStreams
from worker.process.telemetry import Telemetry
from worker.protocol.session import Timings
from worker.protocol.token import TokenPolicy
from worker.settings import Settings, Tenant, secret_of
from worker.store.token_cache import TokenCache
from worker.telemetry import catalogue


class CortiSide:
    """Makes what a process needs to use Corti. Made once in a process.

    Args:
        settings: Valid settings.
        telemetry: Gets the checks and metrics of what is made.
        soft_redis: For the shared tokens.
        gate: Where the steps of jobs give way to audio.
        clock: For time.
        waiter: For waiting.
        stack: Closes what is made here.
    """

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry,
        soft_redis: redis.Redis,
        gate: AdmissionGate,
        clock: Clock,
        waiter: Waiter,
        stack: ExitStack,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._redis = soft_redis
        # Twice as many threads as streams may connect at once: the other half may be calling the REST API.
        offload = OffloadExecutor("offload-corti", 2 * settings.simultaneous_connects, gate.give_way)
        self._offload = stack.enter_context(offload)
        telemetry.live["offload-corti"] = offload.check
        self._clock = clock
        self._waiter = waiter
        self._stack = stack
        self._recorder = telemetry.metrics
        self._caches: dict[str, TokenCache] = {}
        # Tenants share what is the same for them: a TLS context costs 20 ms and 869 kB, a session keeps
        # connections to the servers of one auth and one API address.
        self._session = cache(self._new_session)
        self._streams = cache(self._new_streams)
        self._audio = AudioSide(settings, clock, stack)
        pace, feed = Heartbeat(clock), Heartbeat(clock)
        telemetry.live |= {"pacer": pace.check, "feeder": feed.check}
        self._pacer = pacer = stack.enter_context(Pacer(clock, pace, gate))
        self._feeder = stack.enter_context(Feeder(feed))
        telemetry.metrics.watch(catalogue.STREAMS_OPEN, lambda: pacer.open_streams)
        telemetry.metrics.watch(catalogue.TOKEN_AGE, self._ages)
        telemetry.metrics.watch(catalogue.TENANT_TOKENS_OK, self._healths)
        telemetry.watch_sent(pacer.figures)
        telemetry.status["streams_open"] = lambda: pacer.open_streams

    def transcriber(self, tenant: Tenant) -> Transcriber:
        """What transcribes a tenant's jobs, with the tenant's own tokens and addresses."""
        ca_file = str(tenant.ca_file) if tenant.ca_file else None
        session = self._session(ca_file, tenant.auth, tenant.api)
        tokens = self._caches[tenant.name] = self._tokens(tenant, session)
        interactions = RestInteractions(
            session,
            tenant.api,
            tenant.realm,
            tenant.stream_url,
            self._settings.http_timeout,
            self._recorder,
            self._clock,
        )
        traced = self._telemetry.traced(
            tokens,
            OffloadedInteractions(interactions, self._offload),
            OffloadedStreams(self._streams(ca_file), self._offload),
        )
        return Transcriber(traced[0], traced[1], self._audio.library(tenant), traced[2])

    def _new_session(self, ca_file: str | None, _auth: str, _api: str) -> requests.Session:
        session = http_session(ca_file, self._settings.simultaneous_connects)
        self._stack.callback(session.close)
        return session

    def _new_streams(self, ca_file: str | None) -> WebSocketStreams:
        settings = self._settings
        return WebSocketStreams(
            self._pacer,
            self._feeder,
            timings=Timings(
                config=settings.config_timeout,
                ping=settings.ping_after,
                pong=settings.pong_timeout,
                end=settings.end_timeout,
            ),
            context=trust.context(ca_file),
            connect_timeout=settings.connect_timeout,
            simultaneous=settings.simultaneous_connects,
            recorder=self._recorder,
            clock=self._clock,
        )

    def _tokens(self, tenant: Tenant, session: requests.Session) -> TokenCache:
        settings = self._settings
        endpoint = TokenEndpoint(
            session,
            tenant.token_endpoint,
            tenant.client_id,
            lambda: secret_of(tenant),
            settings.http_timeout,
            self._clock,
        )
        keys = settings.encryption_keys.get_secret_value().split(",") if settings.encryption_keys else []
        return TokenCache(
            self._redis,
            endpoint,
            name=f"{tenant.token_endpoint} {tenant.client_id}",
            keys=tuple(key.strip() for key in keys),
            fetch_timeout=settings.http_timeout,
            policy=TokenPolicy(),
            recorder=self._recorder,
            clock=self._clock,
            waiter=self._waiter,
            chance=random.random(),  # noqa: S311  # spreads refreshes, guards nothing
        )

    def _ages(self) -> dict[tuple[str, ...], float]:
        ages = {name: tokens.age() for name, tokens in dict(self._caches).items()}
        return {(name,): age for name, age in ages.items() if age is not None}

    def _healths(self) -> dict[tuple[str, ...], float]:
        return {(name,): float(tokens.healthy()) for name, tokens in dict(self._caches).items()}
