"""What a process reports about itself: metrics, health, status, spans, audit trail; made from settings."""

import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import structlog

from worker import __version__
from worker.clock import Clock
from worker.corti.stream import Figures
from worker.jobs.ports import Interactions, Publisher, Streams, Tokens
from worker.process.observer import Observer
from worker.process.traced import TracedInteractions, TracedPublisher, TracedStreams, TracedTokens
from worker.settings import Settings, tracing
from worker.telemetry import catalogue
from worker.telemetry.audit import Audit, Unaudited
from worker.telemetry.audit_log import AuditLog
from worker.telemetry.health import Check, HealthServer
from worker.telemetry.metrics import Metrics
from worker.telemetry.trace import Tracer, Untraced

log = structlog.get_logger(__name__)


class Telemetry:
    """One process's telemetry.

    Args:
        settings: Valid settings.
        clock: For time.
        stack: Closes what is made here.

    Attributes:
        live: Checks behind `/livez`; each part of the process adds its own.
        ready: The same for `/readyz`.
        status: What `/status` shows: values, or callables that give them.
        started: To be set when all parts of the process are made.
    """

    def __init__(self, settings: Settings, clock: Clock, stack: ExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._clock = clock
        self.broker = "redis" if settings.broker_is_redis else "rabbitmq"
        self.metrics = Metrics()
        self.tracer: Tracer = Untraced()
        if tracing():
            # The library is an extra, and costs memory and a thread.
            from worker.telemetry.otel import OtelTracer  # noqa: PLC0415

            self.tracer = OtelTracer(self.broker)
            stack.callback(self.tracer.close)
        self.started = False
        self.live: dict[str, Check] = {}
        self.ready: dict[str, Check] = {"startup": self._startup}
        self.audit = self._audit(clock)
        self.status: dict[str, Any] = {
            "version": __version__,
            "broker": self.broker,
            "lane": settings.lane or "main",
            "tenant": settings.tenant if settings.own_tenant else None,
            "tenants": [tenant.name for tenant in settings.tenants],
        }

    def start_health(self) -> None:
        """Serve health, metrics and status."""
        self.metrics.watch(
            catalogue.CHECKS,
            lambda: {(name,): float(check() is None) for name, check in dict(self.ready).items()},
        )
        server = HealthServer(
            self._settings.health_host,
            self._settings.health_port,
            self._clock,
            self.live,
            self.ready,
            self.metrics.page,
            {"startup": self._startup},
            self._status,
        )
        self._stack.enter_context(server)
        log.info("health_serving", host=self._settings.health_host, port=server.port)

    def watch(
        self, observer: Observer, *, slots: int, running: Callable[[], int], draining: Callable[[], bool]
    ) -> None:
        """Export what the observer sees, and the levels of this process.

        Args:
            observer: Not started yet; stopped with the process.
            slots: Jobs that this process can run at once.
            running: How many it runs.
            draining: Whether it is to stop.
        """
        watch = self.metrics.watch
        watch(catalogue.QUEUE_DEPTH, observer.queues)
        watch(catalogue.OUTBOX_RESULTS, observer.outbox_results)
        watch(catalogue.OUTBOX_AGE, observer.outbox_age)
        watch(catalogue.SLOTS, lambda: slots)
        watch(catalogue.JOBS_RUNNING, running)
        watch(catalogue.DRAINING, lambda: float(draining()))
        self.status |= {"slots": slots, "jobs_running": running, "draining": draining}
        self.live["observer"] = observer.heartbeat.check
        observer.start()
        self._stack.callback(observer.stop)

    def watch_sent(self, figures: Figures) -> None:
        """Export what the pacer has sent; the pacer counts, because a metric costs more than a chunk."""
        self.metrics.watch_total(catalogue.AUDIO_BYTES, lambda: figures.bytes)
        self.metrics.watch_total(catalogue.AUDIO_SECONDS, lambda: figures.seconds)
        self.metrics.watch_distribution(
            catalogue.PACING_LATENESS, lambda: (figures.lateness, figures.lateness_sum)
        )

    def traced(
        self, tokens: Tokens, interactions: Interactions, streams: Streams
    ) -> tuple[Tokens, Interactions, Streams]:
        """The ports to the service, with spans around them if spans are recorded; as they are if not."""
        if isinstance(self.tracer, Untraced):
            return tokens, interactions, streams
        return (
            TracedTokens(tokens, self.tracer),
            TracedInteractions(interactions, self.tracer),
            TracedStreams(streams, self.tracer),
        )

    def traced_publisher(self, publisher: Publisher, results: str) -> Publisher:
        """The publisher of results, with spans around it if spans are recorded."""
        return (
            publisher
            if isinstance(self.tracer, Untraced)
            else TracedPublisher(publisher, self.tracer, results)
        )

    def _startup(self) -> str | None:
        return None if self.started else "starting"

    def _status(self) -> dict[str, Any]:
        return {name: value() if callable(value) else value for name, value in dict(self.status).items()}

    def _audit(self, clock: Clock) -> Audit:
        place = self._settings.audit
        if place == "off":
            return Unaudited()
        if place == "stdout":
            stream: Any = sys.stdout.buffer
        else:
            stream = Path(place).open("ab", buffering=0)  # noqa: SIM115  # closed with the process
            self._stack.callback(stream.close)
        trail = AuditLog(
            stream,
            tenant=self._settings.tenant if self._settings.own_tenant else "none",
            host=socket.gethostname(),
            worker=f"corti-worker {__version__}",
            recorder=self.metrics,
            clock=clock,
        )
        self.live["audit"], self.ready["audit"] = trail.heartbeat.check, trail.check
        return self._stack.enter_context(trail)
