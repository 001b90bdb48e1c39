"""The composition root: builds a process from its settings. What was made last is closed first."""

import random
import threading
from collections.abc import Callable
from contextlib import ExitStack

import structlog

from worker.broker.publisher import PatientPublisher
from worker.broker.topology import RESULTS
from worker.clock import SystemClock
from worker.concurrency.background import BackgroundThread, ThreadWaiter
from worker.concurrency.heartbeat import Heartbeat
from worker.concurrency.offload import OffloadExecutor
from worker.contract.message import InvalidJob, Problem
from worker.contract.tenancy import Tenancy
from worker.corti.stream import AdmissionGate
from worker.jobs.ingress import Ingress
from worker.jobs.live import LivePublisher
from worker.jobs.ports import GiveWay, never
from worker.jobs.refusals import Refusals
from worker.jobs.result import build_result
from worker.jobs.retry import RetryPolicy
from worker.jobs.runner import Runner
from worker.jobs.undelivered import Undelivered
from worker.process.broker_side import BrokerSide, redis_client
from worker.process.corti_side import CortiSide
from worker.process.observer import Observer
from worker.process.offloaded import OffloadedAudit, OffloadedLedger
from worker.process.telemetry import Telemetry
from worker.settings import Settings
from worker.store.cipher import make_cipher
from worker.store.ledger import Fleet, RedisLedger
from worker.telemetry import catalogue

#: How many calls of jobs to Redis run at the same time. Each takes a millisecond.
_REDIS_THREADS = 4
#: How many live events can be on their way to the broker at the same time.
_LIVE_EVENT_THREADS = 4

log = structlog.get_logger(__name__)


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
        self.telemetry = Telemetry(settings, self.clock, stack)
        self.metrics = self.telemetry.metrics
        self.live, self.ready = self.telemetry.live, self.telemetry.ready
        own = settings.own_tenant
        self.tenancy = Tenancy(
            own.name if own else None, {tenant.name: tenant.retention for tenant in settings.tenants}
        )
        self.broker = BrokerSide(settings, self.clock, stack)
        self.lane = self.broker.lane
        self.sender = self.broker.sender()
        self.publisher = self._publisher(settings.publish_patience)
        self.refusals = Refusals(self.publisher, self.metrics, self.clock, self.telemetry.audit)
        self.cipher = make_cipher(
            settings.encryption_keys.get_secret_value() if settings.encryption_keys else None
        )
        self.soft_redis = redis_client(settings.redis, settings.redis_trust, stack)
        self.ledger = RedisLedger(
            self.soft_redis,
            self.cipher,
            lease=settings.lease,
            keep=settings.keep,
            keep_results=settings.on_repeat == "republish",
        )
        self.gate = AdmissionGate()
        # Not the executor for Corti: a Redis that hangs must not hold up streams.
        self.redis_calls = self._offload("offload-redis", _REDIS_THREADS, self.gate.give_way)
        # JSON needs a deep stack. One thread: it only computes, and Python lets one thread compute at a time.
        self.json_calls = self._offload("offload-json", 1, never)
        # An executor of its own: the broker may hang. It never gives way: live text must not be late.
        self.live_calls = self._offload("offload-live-events", _LIVE_EVENT_THREADS, never)
        self.job_ledger = OffloadedLedger(self.ledger, self.redis_calls)
        self.job_audit = OffloadedAudit(self.telemetry.audit, self.json_calls)
        self.stop_door = threading.Event()
        self.door_heartbeat = Heartbeat(self.clock)
        self.live["door"] = self.door_heartbeat.check

    def _offload(self, name: str, threads: int, give_way: GiveWay) -> OffloadExecutor:
        offload = self.stack.enter_context(OffloadExecutor(name, threads, give_way))
        self.live[name] = offload.check
        return offload

    def _publisher(self, patience: float) -> PatientPublisher:
        return PatientPublisher(
            self.sender,
            patience=patience,
            recorder=self.metrics,
            clock=self.clock,
            waiter=self.waiter,
        )

    def discard(self, body: bytes, refusal: InvalidJob) -> None:
        """Keep the body of a task that holds no job as a dead letter."""
        self.refusals.publish_dead_letter(body, refusal, self.lane.work)

    def keep_discarded(self, body: bytes, expected: str) -> None:
        """Keep a message that is no task of ours as a dead letter."""
        self.discard(body, InvalidJob((Problem("$", expected),)))

    def run_door(self) -> None:
        """Take in producers' messages until `stop_door` is set."""
        ingress = Ingress(
            work=self.broker.work_queue(),
            refusals=self.refusals,
            recorder=self.metrics,
            clock=self.clock,
            reply_prefix=self.settings.reply_prefix,
            queue=self.lane.jobs,
            tenancy=self.tenancy,
            tracer=self.telemetry.tracer,
            audit=self.telemetry.audit,
            give_way=self.gate.give_way,
        )
        door = self.broker.door(ingress, self._undelivered(ingress).take)
        with self.door_heartbeat.kept_by_this_thread():
            door.run(self.stop_door, self.door_heartbeat.beat, self.door_heartbeat.rest)

    def _undelivered(self, ingress: Ingress) -> Undelivered:
        return Undelivered(
            check=ingress.check,
            claims=self.ledger,
            forget=self.ledger.forget,
            outbox=self.ledger,
            publisher=self._publisher(0.0),
            aside=self.publisher,
            refusals=self.refusals,
            recorder=self.metrics,
            clock=self.clock,
            tenants={tenant.name for tenant in self.settings.tenants},
            tracer=self.telemetry.tracer,
            audit=self.telemetry.audit,
            give_way=self.gate.give_way,
        )

    def start_door(self) -> BackgroundThread:
        """Run the door in a thread."""
        self.ready["door"] = self.door_check
        thread = BackgroundThread("door", self.run_door, self.door_heartbeat)
        thread.start()
        return thread

    def door_check(self) -> str | None:
        """For readiness."""
        return self.door_heartbeat.missing("the broker")

    def observer(self, running: Callable[[], int]) -> Observer:
        """The observer, which measures the whole installation; `running` counts the jobs of this process."""
        fleet = Fleet(self.soft_redis, self.lane.name)
        return Observer(fleet, self.broker.depth(), self.ledger.backlog, running, self.lane.work, self.clock)

    def runner(self) -> Runner:
        """The runner, with everything that a job needs."""
        settings = self.settings
        corti = CortiSide(
            settings,
            self.telemetry,
            self.soft_redis,
            self.gate,
            self.clock,
            self.waiter,
            self.stack,
        )
        names = [tenant.name for tenant in settings.tenants]
        self.metrics.begin(catalogue.ADMISSIONS_REFUSED, *((name,) for name in names))
        ends = ("completed", "failed")
        self.metrics.begin(catalogue.TENANT_JOBS_FINISHED, *((name, end) for name in names for end in ends))
        return Runner(
            transcribers={tenant.name: corti.transcriber(tenant) for tenant in settings.tenants},
            live=lambda job, fence: LivePublisher(
                self.publisher, job, fence, self.clock, self.live_calls.call
            ),
            publisher=self.telemetry.traced_publisher(self.publisher, RESULTS),
            outbox=self.job_ledger,
            attempts=self.job_ledger,
            retry=RetryPolicy(
                settings.attempts, settings.retry_base, settings.retry_cap, settings.outage_patience
            ),
            recorder=self.metrics,
            clock=self.clock,
            waiter=self.waiter,
            chance=random.random,
            build_result=self.json_calls.wrap(build_result),
            queue=self.lane.work,
            patience=settings.publish_patience,
            tracer=self.telemetry.tracer,
            audit=self.job_audit,
        )
