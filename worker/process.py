"""The life of a process: start, run until a signal, stop."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import structlog
from celery import Celery, signals

from worker import measures, tasks
from worker.app import STUCK_SECONDS, Application
from worker.broker import redis_leases
from worker.broker.work_queue import WORKER_OPTIONS
from worker.health import Pulse
from worker.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Running:
    """How many jobs run now."""

    count: int = 0


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
        consumer = Pulse(application.clock, STUCK_SECONDS)
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


def _holder(application: Application, running: Running) -> tasks.Held:
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
