"""The life of a worker process: start, run until a signal, stop."""

import signal
import sys
from contextlib import ExitStack
from typing import Any

import structlog
from celery import Celery, signals
from celery.worker import state

from worker.broker import redis_corrections, strategy
from worker.broker.redis_visibility import VisibilityRenewer
from worker.broker.work_queue import WORKER_OPTIONS
from worker.concurrency.background import PeriodicThread
from worker.concurrency.collector import Collector
from worker.concurrency.heartbeat import Heartbeat
from worker.jobs.delivery import Deliveries
from worker.jobs.outbox import Sweeper
from worker.jobs.redelivery import Redelivery
from worker.process.app import Application
from worker.process.delivery_handler import DeliveryHandler
from worker.process.drain import Drain, RunningJobs
from worker.settings import Settings
from worker.store.ledger import LeaseRenewer, TenantCaps
from worker.telemetry import catalogue

log = structlog.get_logger(__name__)

_EXIT_OK = 0
#: Seconds that a thread may compute while the pacer waits for its turn. Python's default of 5 ms is too long:
#: it is a whole tick of the pacer.
_SWITCH_INTERVAL = 0.0005


def run_worker(settings: Settings) -> int:
    """Run jobs, and the door if the settings say so, until a signal says stop.

    Returns:
        The process's exit code.
    """
    with ExitStack() as stack:
        application = Application(settings, stack)
        telemetry = application.telemetry
        telemetry.start_health()
        jobs = RunningJobs()
        sweeper = Sweeper(application.ledger, application.publisher, telemetry.metrics, telemetry.audit)
        deliveries = _deliveries(application, sweeper)
        redelivery = Redelivery(
            deliveries,
            application.broker.work_queue(),
            application.publisher,
            application.clock,
            application.lane.work,
        )
        handler = DeliveryHandler(
            redelivery, jobs, _visibility(application), application.publisher, application.discard
        )
        strategy.register(application.broker.celery, handler.run)
        _sweep_now_and_then(application, sweeper)
        consumer = Heartbeat(application.clock)
        application.live["consumer"] = consumer.check
        application.ready["consumer"] = lambda: consumer.missing("the broker")
        application.broker.celery.keep_discarded = application.keep_discarded
        application.broker.celery.give_way = application.gate.give_way
        application.broker.celery.heartbeat_calls = (consumer.beat, consumer.rest)
        worker = _celery_worker(application.broker.celery, settings)
        drain = Drain(
            grace=settings.grace,
            jobs=jobs,
            clock=application.clock,
            stop_taking=lambda: _stop_taking(application, worker),
            stop_celery=_stop_celery,
            idle_exit=settings.idle_exit,
        )
        application.ready["drain"] = drain.check
        observer = application.observer(lambda: len(jobs))
        telemetry.watch(
            observer, slots=settings.slots, running=lambda: len(jobs), draining=lambda: drain.draining
        )
        telemetry.status["drain_seconds_left"] = drain.left
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, drain.on_signal)
        application.live["drain"] = drain.heartbeat.check
        drain.start()
        door = application.start_door() if settings.door else None
        collector = application.stack.enter_context(Collector(lambda: len(jobs) > 0, application.clock))
        application.live["collector"] = collector.heartbeat.check
        sys.setswitchinterval(_SWITCH_INTERVAL)
        telemetry.started = True
        log.info("worker_starting", slots=settings.slots, broker=telemetry.broker)
        try:
            with consumer.kept_by_this_thread():
                worker.start()
        finally:
            application.stop_door.set()
            if door is not None:
                door.join()
        code = int(worker.exitcode or 0)
        log.info("worker_stopped", code=code)
        return code


def _deliveries(application: Application, sweeper: Sweeper) -> Deliveries:
    settings = application.settings
    lease_renewer = LeaseRenewer(application.ledger, application.metrics, application.clock)
    caps = TenantCaps(
        application.soft_redis,
        {tenant.name: tenant.max_streams for tenant in settings.tenants},
        slots=settings.slots,
        lease=settings.lease,
        recorder=application.metrics,
    )
    lease_renewer.also(caps.renew)
    application.metrics.watch(catalogue.TENANT_JOBS_RUNNING, caps.running)
    application.ready["redis"] = lease_renewer.check
    application.live["lease-renewer"] = lease_renewer.heartbeat.check
    lease_renewer.start()
    application.stack.callback(lease_renewer.stop)
    return Deliveries(
        claims=application.job_ledger,
        keep=lease_renewer.keep,
        runner=application.runner(),
        aside=application.publisher,
        caps=caps,
        repeat=sweeper.deliver if settings.on_repeat == "republish" else _dropped,
        recorder=application.metrics,
        clock=application.clock,
        job_seconds=settings.job_seconds,
        read=application.json_calls.wrap(application.tenancy.read),
        queue=application.lane.work,
        tracer=application.telemetry.tracer,
        audit=application.job_audit,
    )


def _dropped(_job_id: str) -> bool:
    return False


def _visibility(application: Application) -> VisibilityRenewer | None:
    """On Redis, correct kombu, and start to renew the leases of deliveries."""
    if not application.broker.is_redis:
        return None
    client = application.broker.redis()
    redis_corrections.install(lambda: client)
    renewer = VisibilityRenewer(
        client,
        application.settings.visibility_timeout,
        application.metrics,
        application.clock,
        application.lane,
    )
    application.live["redis-leases"] = renewer.heartbeat.check
    renewer.start()
    application.stack.callback(renewer.stop)
    return renewer


def _sweep_now_and_then(application: Application, sweeper: Sweeper) -> None:
    def sweep() -> None:
        sweeper.sweep()

    period = application.settings.lease / 2
    thread = PeriodicThread("sweeper", sweep, period, application.clock, at_once=False)
    application.live["sweeper"] = thread.heartbeat.check
    thread.start()
    application.stack.callback(thread.stop, 0.0)


def _celery_worker(app: Celery, settings: Settings) -> Any:
    def leave_logging_alone(**_: object) -> None:
        """Celery sets up no logging of its own when somebody listens to this signal."""

    # Held here, because Celery keeps its listeners by weak references.
    app.leave_logging_alone = leave_logging_alone
    signals.setup_logging.connect(leave_logging_alone)
    # The controller without Celery's command line around it: no banner, no signal handlers of its own.
    return app.WorkController(
        app=app, pool="threads", concurrency=settings.slots, optimization="fair", **WORKER_OPTIONS
    )


def _stop_taking(application: Application, worker: Any) -> None:
    application.stop_door.set()
    worker.consumer.drain()


def _stop_celery() -> None:
    # Celery's own signal handlers set this, too; Celery's loop looks at it each turn.
    state.should_stop = _EXIT_OK
