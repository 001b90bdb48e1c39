"""The `Publisher` port: final events and dead letters are tried again and again, live events once.

On fake and real senders.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import redis

from ops.lib import queues
from ops.lib.servers import RedisServer
from tests.contract.corti_side import make_job
from tests.contract.relay import Relay
from tests.contract.waiting import eventually
from tests.fakes import FakeClock, FakeRecorder, FakeSender
from worker.broker.publisher import PatientPublisher
from worker.broker.senders import RabbitSender, RedisSender, Sender
from worker.broker.topology import DEAD, MAIN_LANE, RESULTS
from worker.clock import SystemClock
from worker.concurrency.background import ThreadWaiter
from worker.contract.dead_letter import DeadLetter
from worker.contract.errors import Reason
from worker.contract.events import (
    COMPLETED,
    FAILED,
    PROGRESS,
    Completed,
    Event,
    Failed,
    Progress,
    ResultAudio,
)
from worker.contract.message import InvalidJob, Problem
from worker.jobs.claims import OutboxEntry
from worker.jobs.ingress_headers import IngressHeaders
from worker.jobs.ports import BrokerUnavailable, ReplyRefused
from worker.jobs.refusals import Refusals
from worker.jobs.result import build_result
from worker.telemetry import catalogue

_NOW = datetime(2026, 5, 4, tzinfo=UTC)
_LIVE = Event(
    id="job-1/progress/1",
    type=PROGRESS,
    subject="job-1",
    time=_NOW,
    data=Progress(audio_seconds=1, total_seconds=None),
)
_RESULT = Event(
    id="job-1/result",
    type=COMPLETED,
    subject="job-1",
    time=_NOW,
    data=Completed(
        interaction_id="1",
        segments=(),
        text="",
        facts=(),
        audio=ResultAudio(
            source_format="PCM",
            sent_format="audio/pcm",
            seconds=1,
            bytes=1,
            speech_seconds=0,
            silence_seconds=1,
        ),
        credits=None,
        warnings=(),
        attempts=1,
        metadata={},
    ),
)
_FAILED = Failed(
    reason=Reason.EXPIRED, detail="late", cause=None, attempts=1, interaction_id=None, metadata={}
)
_FAILURE = Event(id="job-1/result", type=FAILED, subject="job-1", time=_NOW, data=_FAILED)
_COMPLETION = OutboxEntry("job-1", "completed", COMPLETED, _RESULT.to_json(), None, None)
_LETTER = DeadLetter.of(
    b"{}", reason=Reason.INVALID_JOB, detail="no", queue="corti.jobs", received_at=_NOW, dead_at=_NOW
)


class FakeWorld:
    """A publisher on the fake sender; time passes only when the publisher waits."""

    def __init__(self, clock: FakeClock, recorder: FakeRecorder, patience: float = 60.0) -> None:
        self.sender, self.clock, self.recorder = FakeSender(), clock, recorder
        self.mended_at = float("inf")
        self.publisher = PatientPublisher(
            self.sender, patience=patience, recorder=recorder, clock=clock, waiter=self
        )

    def wait(self, seconds: float) -> None:
        """See `worker.jobs.ports.Waiter`."""
        self.clock.wait(seconds)
        self.sender.up = self.sender.up or self.clock.monotonic() >= self.mended_at


@pytest.fixture
def world(clock: FakeClock, recorder: FakeRecorder) -> FakeWorld:
    return FakeWorld(clock, recorder)


def real_publisher(sender: Sender, recorder: FakeRecorder, patience: float) -> PatientPublisher:
    """A publisher that waits in real time."""
    return PatientPublisher(
        sender, patience=patience, recorder=recorder, clock=SystemClock(), waiter=ThreadWaiter()
    )


def test_what_was_published_is_counted_by_type(world: FakeWorld) -> None:
    world.publisher.publish(_LIVE, None)
    world.publisher.deliver(replace(_COMPLETION, reply_to="corti.results.a"))
    world.publisher.publish_dead_letter(_LETTER)
    assert [len(world.sender.queues[name]) for name in (RESULTS, "corti.results.a", DEAD)] == [1, 1, 1]
    assert world.sender.queues["corti.results.a"] == [_RESULT.to_json()]
    assert world.recorder.total(catalogue.EVENTS_PUBLISHED, type=PROGRESS) == 1
    assert world.recorder.total(catalogue.EVENTS_PUBLISHED, type=COMPLETED) == 1


def test_a_live_event_is_offered_once(world: FakeWorld) -> None:
    world.sender.up = False
    before = world.clock.monotonic()
    with pytest.raises(BrokerUnavailable):
        world.publisher.publish(_LIVE, None)
    assert (world.sender.tries, world.clock.monotonic()) == (1, before)
    assert world.recorder.total(catalogue.EVENTS_PUBLISHED) == 0


def test_a_final_event_is_offered_until_it_is_taken(world: FakeWorld) -> None:
    world.sender.up, world.mended_at = False, world.clock.monotonic() + 45
    world.publisher.deliver(_COMPLETION)
    assert world.sender.queues[RESULTS] == [_RESULT.to_json()]
    assert world.recorder.total(catalogue.PUBLISH_RETRIES) == world.sender.tries - 1 > 5


def test_a_failure_is_delivered_after_its_dead_letter(world: FakeWorld) -> None:
    failure = OutboxEntry("job-1", "failed", FAILED, _FAILURE.to_json(), "corti.results.a", _LETTER.to_json())
    world.sender.up, world.mended_at = False, world.clock.monotonic() + 45
    world.publisher.deliver(failure)
    assert [(name, bodies) for name, bodies in world.sender.queues.items() if bodies] == [
        (DEAD, [_LETTER.to_json()]),
        ("corti.results.a", [_FAILURE.to_json()]),
    ]


def test_a_job_is_set_aside_with_one_try(world: FakeWorld) -> None:
    world.publisher.set_aside(b"job", IngressHeaders(_NOW))
    assert world.sender.headers == [IngressHeaders(_NOW)]
    assert world.sender.queues[MAIN_LANE.aside] == [b"job"]
    world.sender.up, world.sender.tries = False, 0
    with pytest.raises(BrokerUnavailable):
        world.publisher.set_aside(b"job", IngressHeaders())
    assert world.sender.tries == 1


def test_a_dead_letter_is_offered_until_it_is_taken(world: FakeWorld) -> None:
    world.sender.up, world.mended_at = False, world.clock.monotonic() + 45
    world.publisher.publish_dead_letter(_LETTER)
    assert world.sender.queues[DEAD] == [_LETTER.to_json()]


def test_the_tries_of_one_dead_letter_that_was_not_confirmed_bear_one_id(world: FakeWorld) -> None:
    refusals = Refusals(world.publisher, world.recorder, world.clock)
    refusal = InvalidJob((Problem("$", "expected a JSON object"),))
    world.sender.confirms = False
    for message in b"not a job", b"not a job", b"another":
        with pytest.raises(BrokerUnavailable):
            refusals.publish_dead_letter(message, refusal, "corti.jobs")
    letters = [json.loads(letter) for letter in world.sender.queues[DEAD]]
    assert len(letters) > 30
    assert len({letter["dead_at"] for letter in letters}) == 3
    assert len({(letter["payload"], letter["id"]) for letter in letters}) == 2
    assert len({letter["id"] for letter in letters}) == 2


def test_a_failure_whose_event_is_not_confirmed_has_one_dead_letter(world: FakeWorld) -> None:
    failure = OutboxEntry(
        "job-1", "failed", FAILED, _FAILURE.to_json(), "corti.results.full", _LETTER.to_json()
    )
    world.sender.refusing = {"corti.results.full"}
    for _ in range(3):
        with pytest.raises(ReplyRefused):
            world.publisher.deliver(failure)
    assert world.sender.queues[DEAD] == [_LETTER.to_json()]
    world.sender.refusing = set()
    for _ in range(2):
        world.publisher.deliver(failure)
    assert len(world.sender.queues[DEAD]) == 2, "a repeat that was asked for makes a second one"


def test_the_tries_of_a_failed_jobs_dead_letter_bear_the_jobs_id(rabbitmq_url: str) -> None:
    sender = RabbitSender(rabbitmq_url)
    letter = build_result(
        make_job(job_id="job-1"), b"{}", _FAILED, queue="corti.work", received_at=_NOW, now=_NOW
    ).letter
    assert letter is not None
    assert json.loads(letter)["id"] == "job-1/dead-letter"
    real_publisher(sender, FakeRecorder(), patience=0).deliver(
        OutboxEntry("job-1", "failed", FAILED, _FAILURE.to_json(), None, letter)
    )
    message = sender._connection._connection.default_channel.basic_get(DEAD, no_ack=True)
    sender.close()
    assert message.properties["message_id"] == "job-1/dead-letter"


def test_a_final_event_is_given_up_after_the_patience_has_run_out(world: FakeWorld) -> None:
    world.sender.up, began = False, world.clock.monotonic()
    with pytest.raises(BrokerUnavailable):
        world.publisher.deliver(_COMPLETION)
    assert 60 <= world.clock.monotonic() - began <= 66
    assert 10 <= world.sender.tries <= 40, "tried too seldom or too often"


def test_after_a_live_event_that_was_lost_the_next_are_not_even_tried_for_a_while(world: FakeWorld) -> None:
    world.sender.up = False
    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            world.publisher.publish(_LIVE, None)
    assert world.sender.tries == 1
    world.sender.up = True
    world.publisher.deliver(_COMPLETION)  # a final event, which is not held up
    world.clock.wait(15)
    world.publisher.publish(_LIVE, None)
    assert world.sender.queues[RESULTS] == [_RESULT.to_json(), _LIVE.to_json()]


def test_a_live_event_does_not_wait_for_a_rabbitmq_that_is_away(
    rabbitmq_relay: Relay, clock: FakeClock, recorder: FakeRecorder
) -> None:
    sender = RabbitSender(rabbitmq_relay.url)
    publisher = PatientPublisher(sender, patience=20, recorder=recorder, clock=clock, waiter=clock)
    publisher.publish(_LIVE, None)
    rabbitmq_relay.cut()
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        publisher.publish(_LIVE, None)
    assert time.monotonic() - began < 1.8
    rabbitmq_relay.mend()
    clock.wait(15)
    publisher.publish(_LIVE, None)
    sender.close()


def test_a_final_event_outlasts_the_absence_of_rabbitmq(
    rabbitmq_relay: Relay, recorder: FakeRecorder
) -> None:
    sender = RabbitSender(rabbitmq_relay.url)
    publisher = real_publisher(sender, recorder, patience=60)
    publisher.publish(_LIVE, None)
    rabbitmq_relay.cut()
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publisher.deliver, _COMPLETION)
        eventually(lambda: recorder.total(catalogue.PUBLISH_RETRIES) >= 1)
        rabbitmq_relay.mend()
        publishing.result(timeout=60)
    sender.close()
    with queues.connect(rabbitmq_relay.url) as consumer:
        assert [consumer.take(RESULTS, 2) for _ in range(2)] == [_LIVE.to_json(), _RESULT.to_json()]


def test_a_final_event_outlasts_a_restart_of_redis(own_redis: RedisServer, recorder: FakeRecorder) -> None:
    with redis.Redis.from_url(own_redis.url, socket_timeout=2) as client:
        publisher = real_publisher(RedisSender(client), recorder, patience=20)
        publisher.publish(_LIVE, None)
        own_redis.stop()
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            publisher.publish(_LIVE, None)
        assert time.monotonic() - began < 1
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(publisher.deliver, _COMPLETION)
            eventually(lambda: recorder.total(catalogue.PUBLISH_RETRIES) >= 1)
            own_redis.start()
            publishing.result(timeout=20)
        assert client.lrange(RESULTS, 0, -1) == [_RESULT.to_json()]


def test_a_redis_without_memory_refuses_instead_of_losing(
    own_redis: RedisServer, recorder: FakeRecorder
) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(BrokerUnavailable, match="OutOfMemory"):
            real_publisher(RedisSender(client), recorder, patience=0).deliver(_COMPLETION)
