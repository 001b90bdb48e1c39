"""The composition root: settings in, a running process out. Things close in the reverse of their making."""

import random
import threading
from collections.abc import Callable
from contextlib import ExitStack

import redis
import structlog

from worker import measures
from worker.background import BackgroundThread, ThreadWaiter
from worker.broker import redis_leases
from worker.broker.depth import Depth, RabbitDepth, RedisDepth
from worker.broker.door import Door, RabbitDoor, RedisDoor
from worker.broker.outlet import PatientOutlet
from worker.broker.senders import RabbitSender, RedisSender, Sender
from worker.broker.topology import RESULTS, Lane
from worker.broker.work_queue import CeleryWorkQueue, make_celery
from worker.cipher import make_cipher
from worker.clock import SystemClock
from worker.corti.stream import Turnstile
from worker.corti_side import CortiSide
from worker.desk import Desk
from worker.heartbeat import Heartbeat
from worker.intake import Intake
from worker.ledger import Fleet, RedisLedger
from worker.live import LivePublisher
from worker.message import InvalidJob, Problem
from worker.observer import Observer
from worker.parcel import Packer
from worker.ports import GiveWay, never
from worker.refusals import Refusals
from worker.retry import RetryPolicy
from worker.runner import Runner
from worker.settings import Settings
from worker.telemetry import Telemetry
from worker.tenancy import Tenancy
from worker.undelivered import Undelivered

#: Calls of jobs to Redis at the same time. Each takes a millisecond.
_REDIS_THREADS = 4
#: Live events on their way to the broker.
_MAIL_THREADS = 4

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
        self.url = settings.broker_url.get_secret_value()
        self.redis_broker = settings.broker_is_redis
        self.lane = Lane(settings.lane)
        self.celery = make_celery(
            self.url,
            redis_options=(
                redis_leases.transport_options(settings.visibility_timeout, self.lane)
                if self.redis_broker
                else None
            ),
            consumer_timeout=settings.consumer_timeout,
            lane=self.lane,
        )
        self.sender = self._sender()
        self.outlet = self._outlet(settings.publish_patience)
        self.refusals = Refusals(self.outlet, self.metrics, self.clock, self.telemetry.audit)
        self.cipher = make_cipher(
            settings.encryption_keys.get_secret_value() if settings.encryption_keys else None
        )
        self.soft_redis = self.redis_client(settings.redis)
        self.ledger = RedisLedger(
            self.soft_redis,
            self.cipher,
            lease=settings.lease,
            keep=settings.keep,
            keep_results=settings.on_repeat == "republish",
        )
        self.turnstile = Turnstile()
        # Not the one for Corti: a Redis that hangs must not hold up streams.
        self.desk = self._desk("desk-redis", _REDIS_THREADS, self.turnstile.give_way)
        # JSON needs a deep stack. One thread: it only computes, and Python lets one compute at a time.
        self.paper = self._desk("desk-json", 1, never)
        # Of its own, for a broker that hangs. Who waits for text as it is spoken does not give way.
        self.mail = self._desk("desk-live-events", _MAIL_THREADS, never)
        self.stop_door = threading.Event()
        self.door_heartbeat = Heartbeat(self.clock)
        self.live["door"] = self.door_heartbeat.check

    def _desk(self, name: str, threads: int, give_way: GiveWay) -> Desk:
        desk = self.stack.enter_context(Desk(name, threads, give_way))
        self.live[name] = desk.check
        return desk

    def _sender(self) -> Sender:
        if self.redis_broker:
            return RedisSender(self.redis_client(self.url), self.lane)
        sender = RabbitSender(self.url, self.lane)
        self.stack.callback(sender.close)
        return sender

    def _outlet(self, patience: float) -> PatientOutlet:
        return PatientOutlet(
            self.sender,
            patience=patience,
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

    def work_queue(self) -> CeleryWorkQueue:
        """Celery's queue, by a connection of its own that is made when it is needed first."""
        work = CeleryWorkQueue(self.celery, self.url, on_rabbit=not self.redis_broker)
        self.stack.callback(work.close)
        return work

    def discard(self, body: bytes, refusal: InvalidJob) -> None:
        """Keep the body of a task that holds no job as a dead letter."""
        self.refusals.bury(body, refusal, self.lane.work)

    def keep_discarded(self, body: bytes, expected: str) -> None:
        """Keep a message that is no task of ours as a dead letter."""
        self.discard(body, InvalidJob((Problem("$", expected),)))

    def run_door(self) -> None:
        """Take in producers' messages until `stop_door` is set."""
        intake = Intake(
            work=self.work_queue(),
            refusals=self.refusals,
            recorder=self.metrics,
            clock=self.clock,
            reply_prefix=self.settings.reply_prefix,
            queue=self.lane.jobs,
            tenancy=self.tenancy,
            tracer=self.telemetry.tracer,
            audit=self.telemetry.audit,
            give_way=self.turnstile.give_way,
        )
        door: Door = (
            RedisDoor(self.redis_client(self.url), intake, self.clock, self.lane)
            if self.redis_broker
            else RabbitDoor(self.url, intake, self.lane, self._undelivered(intake).take)
        )
        with self.door_heartbeat.kept_by_this_thread():
            door.run(self.stop_door, self.door_heartbeat.beat, self.door_heartbeat.rest)

    def _undelivered(self, intake: Intake) -> Undelivered:
        return Undelivered(
            check=intake.check,
            claims=self.ledger,
            forget=self.ledger.forget,
            outbox=self.ledger,
            packer=lambda queue: Packer(queue, self.clock),
            outlet=self._outlet(0.0),
            aside=self.outlet,
            refusals=self.refusals,
            recorder=self.metrics,
            clock=self.clock,
            tenants={tenant.name for tenant in self.settings.tenants},
            tracer=self.telemetry.tracer,
            audit=self.telemetry.audit,
            give_way=self.turnstile.give_way,
        )

    def start_door(self) -> BackgroundThread:
        """Run the door in a thread."""
        self.ready["door"] = self.door_check
        thread = BackgroundThread("door", self.run_door, self.door_heartbeat)
        thread.start()
        return thread

    def door_check(self) -> str | None:
        """For readiness."""
        return None if self.door_heartbeat.beating else "the door cannot reach the broker"

    def observer(self, running: Callable[[], int]) -> Observer:
        """Looks at the whole installation when it is this process's turn; `running` counts its jobs."""
        depth: Depth = (
            RedisDepth(self.redis_client(self.url), self.lane)
            if self.redis_broker
            else RabbitDepth(self.url, self.lane)
        )
        fleet = Fleet(self.soft_redis, self.lane.name)
        return Observer(fleet, depth, self.ledger.backlog, running, self.lane.work, self.clock)

    def runner(self) -> Runner:
        """Everything a job needs."""
        settings = self.settings
        corti = CortiSide(
            settings,
            self.telemetry,
            self.soft_redis,
            self.turnstile,
            self.clock,
            self.waiter,
            self.stack,
        )
        ledger = self.desk.at(self.ledger)
        names = [tenant.name for tenant in settings.tenants]
        self.metrics.begin(measures.ADMISSIONS_REFUSED, *((name,) for name in names))
        ends = ("completed", "failed")
        self.metrics.begin(measures.TENANT_JOBS_FINISHED, *((name, end) for name in names for end in ends))
        return Runner(
            transcribers={tenant.name: corti.transcriber(tenant) for tenant in settings.tenants},
            live=lambda job: self.mail.at(LivePublisher(self.outlet, job, self.clock)),
            outlet=self.telemetry.traced_outlet(self.outlet, RESULTS),
            outbox=ledger,
            attempts=ledger,
            retry=RetryPolicy(
                settings.attempts, settings.retry_base, settings.retry_cap, settings.outage_patience
            ),
            recorder=self.metrics,
            clock=self.clock,
            chance=random.random,
            packer=self.paper.at(Packer(self.lane.work, self.clock)),
            patience=settings.publish_patience,
            tracer=self.telemetry.tracer,
            audit=self.paper.at(self.telemetry.audit),
        )
