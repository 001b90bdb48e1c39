"""The composition root: settings in, a running process out. Things close in the reverse of their making."""

import random
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import redis
import structlog
from celery import Celery, signals

from worker import measures, tasks
from worker.audio.library import Library
from worker.audio.source import Sources
from worker.broker import redis_leases
from worker.broker.door import Door, RabbitDoor, RedisDoor
from worker.broker.outlet import PatientOutlet, RabbitSender, RedisSender
from worker.broker.topology import JOBS, WORK
from worker.broker.work_queue import WORKER_OPTIONS, CeleryWorkQueue, make_celery
from worker.clock import SystemClock
from worker.corti.rest import RestInteractions, TokenEndpoint, http_session
from worker.corti.session import Timings
from worker.corti.stream import Pacer, WebSocketStreams
from worker.corti.token import TokenPolicy
from worker.health import Check, HealthServer, Pulse
from worker.intake import Intake
from worker.metrics import Metrics
from worker.retry import RetryPolicy
from worker.runner import Runner
from worker.settings import Settings
from worker.token_cache import TokenCache
from worker.transcribe import Transcriber

log = structlog.get_logger(__name__)

#: A loop that has not turned for this long is stuck: the slowest turns once a second.
_STUCK_SECONDS = 30.0


class ThreadWaiter:
    """Implements the `Waiter` port by parking the thread."""

    def wait(self, seconds: float) -> None:
        """See `worker.ports.Waiter`."""
        threading.Event().wait(seconds)


@dataclass(slots=True)
class Running:
    """How many jobs run now."""

    count: int = 0


class Application:
    """One process: what the door and the worker share, built from settings.

    Args:
        settings: Valid settings.
        stack: Closes what is made here.
    """

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self.settings = settings
        self.stack = stack
        self.clock = SystemClock()
        self.waiter = ThreadWaiter()
        self.metrics = Metrics()
        self.url = settings.broker_url.get_secret_value()
        self.redis_broker = settings.broker_is_redis
        self.celery = make_celery(
            self.url,
            redis_options=(
                redis_leases.transport_options(settings.visibility_timeout) if self.redis_broker else None
            ),
            consumer_timeout=settings.consumer_timeout,
        )
        self.outlet = self._outlet()
        self.stop_door = threading.Event()
        self.door_pulse = Pulse(self.clock, _STUCK_SECONDS)
        self.live: dict[str, Check] = {"door": self.door_pulse.check}
        self.ready: dict[str, Check] = {}

    def _outlet(self) -> PatientOutlet:
        sender: RabbitSender | RedisSender
        if self.redis_broker:
            sender = RedisSender(self.redis_client(self.url))
        else:
            sender = RabbitSender(self.url)
            self.stack.callback(sender.close)
        return PatientOutlet(
            sender,
            patience=self.settings.publish_patience,
            recorder=self.metrics,
            clock=self.clock,
            waiter=self.waiter,
        )

    def redis_client(self, url: str) -> redis.Redis:
        """A client with time-outs, closed with the process."""
        client = redis.Redis.from_url(
            url, socket_timeout=5, socket_connect_timeout=5, socket_keepalive=True, health_check_interval=10
        )
        self.stack.callback(client.close)
        return client

    def run_door(self) -> None:
        """Take in producers' messages until `stop_door` is set."""
        work = CeleryWorkQueue(self.celery, self.url, on_rabbit=not self.redis_broker)
        intake = Intake(
            work=work,
            outlet=self.outlet,
            recorder=self.metrics,
            clock=self.clock,
            reply_prefix=self.settings.reply_prefix,
            queue=JOBS,
        )
        door: Door = (
            RedisDoor(self.redis_client(self.url), intake, self.clock)
            if self.redis_broker
            else RabbitDoor(self.url, intake)
        )
        try:
            door.run(self.stop_door, self.door_pulse.beat, self.door_pulse.rest)
        finally:
            work.close()

    def start_door(self) -> threading.Thread:
        """Run the door in a thread; a door that breaks for good shows in readiness and log."""

        def run() -> None:
            try:
                self.run_door()
            except Exception as error:
                log.critical("door_broke", error=type(error).__name__)
                raise

        self.ready["door"] = lambda: None if self.door_pulse.beating else "the door cannot reach the broker"
        thread = threading.Thread(target=run, name="door", daemon=True)
        thread.start()
        return thread

    def start_health(self) -> None:
        """Serve health and metrics."""
        server = HealthServer(
            self.settings.health_host, self.settings.health_port, self.live, self.ready, self.metrics.render
        )
        self.stack.enter_context(server)
        log.info("health_serving", host=self.settings.health_host, port=server.port)

    def runner(self) -> Runner:
        """Everything a job needs."""
        settings, clock, metrics = self.settings, self.clock, self.metrics
        ca_file = str(settings.ca_file) if settings.ca_file else None
        session = http_session(ca_file, settings.simultaneous_connects)
        self.stack.callback(session.close)
        downloads = http_session(None, settings.slots)
        self.stack.callback(downloads.close)
        pulse = Pulse(clock, _STUCK_SECONDS)
        self.live["pacer"] = pulse.check
        pacer = self.stack.enter_context(Pacer(clock, metrics, pulse.beat))
        metrics.watch(measures.STREAMS_OPEN, lambda: pacer.open_streams)
        endpoint = TokenEndpoint(
            session,
            settings.token_endpoint,
            settings.client_id,
            settings.client_secret.get_secret_value(),
            settings.http_timeout,
            clock,
        )
        keys = settings.encryption_keys.get_secret_value().split(",") if settings.encryption_keys else []
        tokens = TokenCache(
            self.redis_client(settings.redis),
            endpoint,
            name=f"{settings.token_endpoint} {settings.client_id}",
            keys=tuple(key.strip() for key in keys),
            fetch_timeout=settings.http_timeout,
            policy=TokenPolicy(),
            recorder=metrics,
            clock=clock,
            waiter=self.waiter,
            chance=random.random(),  # noqa: S311  # spreads refreshes, guards nothing
        )
        interactions = RestInteractions(
            session, settings.api, settings.tenant, settings.stream_url, settings.http_timeout, metrics, clock
        )
        library = Library(
            Sources(downloads, settings.audio_root, settings.http_timeout),
            chunk_seconds=settings.chunk_seconds,
            max_seconds=settings.audio_max_seconds,
            wav_as=settings.wav_as,
        )
        streams = WebSocketStreams(
            pacer,
            timings=Timings(
                config=settings.config_timeout,
                ping=settings.ping_after,
                pong=settings.pong_timeout,
                end=settings.end_timeout,
            ),
            context=ssl.create_default_context(cafile=ca_file),
            connect_timeout=settings.connect_timeout,
            simultaneous=settings.simultaneous_connects,
            recorder=metrics,
            clock=clock,
        )
        return Runner(
            transcriber=Transcriber(tokens, interactions, library, streams),
            outlet=self.outlet,
            retry=RetryPolicy(settings.attempts, settings.retry_base, settings.retry_cap),
            recorder=metrics,
            clock=clock,
            waiter=self.waiter,
            chance=random.random,
            tenant=settings.tenant,
            queue=WORK,
        )


def run_worker(settings: Settings) -> int:
    """Run jobs, and the door if so set, until a signal says stop.

    Returns:
        The process's exit code.
    """
    with ExitStack() as stack:
        application = Application(settings, stack)
        running = Running()
        runner = application.runner()
        tasks.register(application.celery, runner.run, _holder(application, running))
        application.metrics.watch(measures.SLOTS, lambda: settings.slots)
        application.metrics.watch(measures.JOBS_RUNNING, lambda: running.count)
        consumer = Pulse(application.clock, _STUCK_SECONDS)
        application.live["consumer"] = consumer.check
        application.ready["consumer"] = lambda: None if consumer.beating else "not connected to the broker"
        application.celery.attendance = (consumer.beat, consumer.rest)
        door = application.start_door() if settings.door else None
        application.start_health()
        log.info(
            "worker_starting",
            slots=settings.slots,
            broker="redis" if settings.broker_is_redis else "rabbitmq",
        )
        try:
            code = _celery_worker(application.celery, settings, application.stop_door)
        finally:
            application.stop_door.set()
            if door is not None:
                door.join()
        log.info("worker_stopped", code=code)
        return code


def run_door_alone(settings: Settings, stop: threading.Event) -> int:
    """Run only the door, until `stop` is set."""
    with ExitStack() as stack:
        application = Application(settings, stack)
        application.stop_door = stop
        application.ready["door"] = lambda: (
            None if application.door_pulse.beating else "the door cannot reach the broker"
        )
        application.start_health()
        application.run_door()
        return 0


def _holder(application: Application, running: Running) -> "tasks.Held":
    """Counts a delivery as running and, on Redis, keeps its lease."""
    lock = threading.Lock()
    leases: redis_leases.Leases | None = None
    if application.redis_broker:
        client = application.redis_client(application.url)
        redis_leases.install(lambda: client)
        leases = redis_leases.Leases(
            client, application.settings.visibility_timeout, application.metrics, application.clock
        )
        leases.start()
        application.stack.callback(leases.stop)

    @contextmanager
    def held(tag: str) -> Iterator[None]:
        with lock:
            running.count += 1
        if leases is not None:
            leases.hold(tag)
        try:
            yield
        finally:
            if leases is not None:
                leases.drop(tag)
            with lock:
                running.count -= 1

    return held


def _celery_worker(app: Celery, settings: Settings, stop_door: threading.Event) -> int:
    def shutting_down(**_: object) -> None:
        stop_door.set()

    def leave_logging_alone(**_: object) -> None:
        """Celery sets up no logging of its own when somebody listens to this signal."""

    signals.worker_shutting_down.connect(shutting_down)
    signals.setup_logging.connect(leave_logging_alone)
    worker = app.Worker(
        pool="threads", concurrency=settings.slots, optimization="fair", quiet=True, **WORKER_OPTIONS
    )
    worker.start()
    return int(worker.exitcode or 0)
