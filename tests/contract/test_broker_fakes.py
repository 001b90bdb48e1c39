"""The `Publisher` and `WorkQueue` ports: the unit tests' fakes and the real adapters, by the same tests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.contract.test_work_queue import found_on, work_queue
from tests.fakes import EPOCH, FakeClock, FakePublisher, FakeRecorder, FakeSender, FakeWorkQueue
from worker.broker.envelope import ingress_headers
from worker.broker.publisher import LIVE_PAUSE, PatientPublisher
from worker.broker.topology import DEAD, MAIN_LANE
from worker.contract.dead_letter import DeadLetter
from worker.contract.errors import Reason
from worker.contract.events import FAILED, PROGRESS, Event, Failed, Progress
from worker.jobs.claims import OutboxEntry
from worker.jobs.ingress_headers import IngressHeaders
from worker.jobs.ports import BrokerUnavailable, ReplyRefused

_LIVE = Event(
    id="job-1/progress/1",
    type=PROGRESS,
    subject="job-1",
    time=EPOCH,
    data=Progress(audio_seconds=1.0, total_seconds=None),
)
_FAILURE = Event(
    id="job-1/result",
    type=FAILED,
    subject="job-1",
    time=EPOCH,
    data=Failed(
        reason=Reason.EXPIRED, detail="late", cause=None, attempts=1, interaction_id=None, metadata={}
    ),
)
_LETTER = DeadLetter.of(
    b"{}", reason=Reason.EXPIRED, detail="late", queue="corti.work", received_at=EPOCH, dead_at=EPOCH
)
_REPLIES = "corti.results.ward"
_ENTRY = OutboxEntry("job-1", "failed", FAILED, _FAILURE.to_json(), _REPLIES, _LETTER.to_json())


@dataclass
class Bench:
    """A publisher that tries once, with functions to break the broker and to see what arrived.

    Attributes:
        away: Takes the broker away, or brings it back.
        refuse: Makes reply queues refuse events.
        replies: How many events arrived on the reply queue.
        letters: How many dead letters arrived.
        aside: Bodies of the jobs that were set aside.
    """

    publisher: PatientPublisher | FakePublisher
    clock: FakeClock
    away: Callable[[bool], None]
    refuse: Callable[[set[str]], None]
    replies: Callable[[], int]
    letters: Callable[[], int]
    aside: Callable[[], list[bytes]]


def in_memory() -> Bench:
    clock = FakeClock()
    publisher = FakePublisher(clock=clock)
    everything = {PROGRESS, FAILED, "letters", "aside"}

    def away(now: bool) -> None:
        publisher.away = everything if now else set()

    def refuse(queues: set[str]) -> None:
        publisher.refusing = queues

    return Bench(
        publisher,
        clock,
        away,
        refuse,
        lambda: sum(reply_to == _REPLIES for _, reply_to in publisher.events),
        lambda: len(publisher.letters),
        lambda: publisher.set_aside_bodies,
    )


def on_a_sender() -> Bench:
    """The real publisher on a fake sender, which passes the real senders' suite (test_senders.py)."""
    clock, sender = FakeClock(), FakeSender()

    def away(now: bool) -> None:
        sender.up = not now

    def refuse(queues: set[str]) -> None:
        sender.refusing = queues

    return Bench(
        PatientPublisher(sender, patience=0.0, recorder=FakeRecorder(), clock=clock, waiter=clock),
        clock,
        away,
        refuse,
        lambda: len(sender.queues[_REPLIES]),
        lambda: len(sender.queues[DEAD]),
        lambda: sender.queues[MAIN_LANE.aside],
    )


@pytest.fixture(params=[in_memory, on_a_sender], ids=["memory", "sender"])
def bench(request: pytest.FixtureRequest) -> Bench:
    made: Bench = request.param()
    return made


def test_a_failure_arrives_with_its_dead_letter(bench: Bench) -> None:
    bench.publisher.deliver(_ENTRY)
    assert (bench.replies(), bench.letters()) == (1, 1)


def test_nothing_arrives_at_a_broker_that_is_away_and_the_caller_gets_an_error(bench: Bench) -> None:
    bench.away(True)
    calls: tuple[Callable[[], None], ...] = (
        lambda: bench.publisher.publish(_LIVE, _REPLIES),
        lambda: bench.publisher.deliver(_ENTRY),
        lambda: bench.publisher.publish_dead_letter(_LETTER),
        lambda: bench.publisher.set_aside(b"job", IngressHeaders()),
    )
    for call in calls:
        with pytest.raises(BrokerUnavailable):
            call()
    assert (bench.replies(), bench.letters(), bench.aside()) == (0, 0, [])
    bench.away(False)
    bench.publisher.deliver(_ENTRY)
    bench.publisher.set_aside(b"job", IngressHeaders())
    assert (bench.replies(), bench.letters(), bench.aside()) == (1, 1, [b"job"])


def test_the_tries_of_a_failure_make_one_dead_letter(bench: Bench) -> None:
    bench.refuse({_REPLIES})
    for _ in range(3):
        with pytest.raises(ReplyRefused):
            bench.publisher.deliver(_ENTRY)
    assert bench.letters() == 1
    bench.refuse(set())
    bench.publisher.deliver(_ENTRY)
    assert (bench.replies(), bench.letters()) == (1, 1)
    bench.publisher.deliver(_ENTRY)
    assert bench.letters() == 2, "a repeat that was asked for must be published"


def test_after_an_unconfirmed_live_event_no_live_event_is_tried_for_a_while(bench: Bench) -> None:
    bench.away(True)
    with pytest.raises(BrokerUnavailable):
        bench.publisher.publish(_LIVE, _REPLIES)
    bench.away(False)
    bench.clock.advance(LIVE_PAUSE - 1)
    with pytest.raises(BrokerUnavailable):
        bench.publisher.publish(_LIVE, _REPLIES)
    bench.publisher.deliver(_ENTRY)
    bench.clock.advance(2)
    bench.publisher.publish(_LIVE, _REPLIES)
    assert bench.replies() == 2


def test_a_reply_queue_that_refuses_a_live_event_makes_no_pause(bench: Bench) -> None:
    bench.refuse({_REPLIES})
    with pytest.raises(ReplyRefused):
        bench.publisher.publish(_LIVE, _REPLIES)
    bench.refuse(set())
    bench.publisher.publish(_LIVE, _REPLIES)
    assert bench.replies() == 1


# -- the work queue ----------------------------------------------------------------------------

_HEADERS = IngressHeaders(
    EPOCH + timedelta(milliseconds=250), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)


@dataclass
class Work:
    """A work queue, and a function that returns its messages: bodies with their headers."""

    put: Callable[[bytes, IngressHeaders], None]
    found: Callable[[], list[tuple[bytes, object, object]]]


@pytest.fixture(params=["memory", "redis", "rabbitmq"])
def work(request: pytest.FixtureRequest) -> Iterator[Work]:
    if request.param == "memory":
        queue = FakeWorkQueue()
        yield Work(
            queue.put, lambda: list(zip(queue.bodies, queue.accepted, queue.traceparents, strict=True))
        )
        return
    url = request.getfixturevalue(f"{request.param}_url")

    def found() -> list[tuple[bytes, object, object]]:
        return [
            (message.body[0][0].encode(), noted.accepted_at, noted.traceparent)
            for message in found_on(url)
            for noted in [ingress_headers(message.headers)]
        ]

    with work_queue(url) as made:
        yield Work(made.put, found)


def test_jobs_wait_in_their_order_with_their_headers(work: Work) -> None:
    work.put(b"first", _HEADERS)
    work.put(b"second", IngressHeaders())
    assert work.found() == [
        (b"first", _HEADERS.accepted_at, _HEADERS.traceparent),
        (b"second", None, None),
    ]
