"""Messages that the broker gave up: each makes one dead letter and one failure.

If the job has ended or is running, it makes neither.
"""

import json

import pytest
from structlog.testing import capture_logs

from tests.fakes import EPOCH, FakeAudit, FakeWorkQueue
from tests.unit.examples import SMALLEST, body
from tests.unit.jobs.world import World
from worker.contract.errors import Reason
from worker.contract.events import COMPLETED, FAILED, Failed
from worker.contract.tenancy import Tenancy
from worker.jobs.claims import Claim
from worker.jobs.ingress import Ingress
from worker.jobs.ingress_headers import DeliveryOutcome, IngressHeaders
from worker.jobs.ports import BrokerUnavailable
from worker.jobs.refusals import Refusals
from worker.jobs.undelivered import GivenUp, Undelivered
from worker.telemetry import catalogue
from worker.telemetry.audit import Step

JOB = "visit-17"
NOTED = IngressHeaders(EPOCH)


class Bench:
    """A world, and the part of the worker that takes the messages that the broker gave up."""

    def __init__(self) -> None:
        self.world = World()
        self.audit = FakeAudit()
        world = self.world
        refusals = Refusals(world.publisher, world.recorder, world.clock, self.audit)
        ingress = Ingress(
            work=FakeWorkQueue(),
            refusals=refusals,
            recorder=world.recorder,
            clock=world.clock,
            reply_prefix="corti.results",
            queue="corti.jobs",
            tenancy=Tenancy("base", {"base": None}),
        )
        self.forgotten: list[Claim] = []
        self.undelivered = Undelivered(
            check=ingress.check,
            claims=world.ledger,
            forget=self.forgotten.append,
            outbox=world.ledger,
            publisher=world.publisher,
            aside=world.publisher,
            refusals=refusals,
            recorder=world.recorder,
            clock=world.clock,
            tenants={"base"},
            audit=self.audit,
        )

    def give_up(self, job: bytes, why: str | None = "delivery_limit") -> None:
        self.undelivered.take(GivenUp(b"[[...]]", job, "corti.work", why, NOTED))

    def nothing_happened(self) -> bool:
        return not (self.world.publisher.letters or self.world.publisher.events)


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("delivery_limit", "too often"),
        ("expired", "expired"),
        ("rejected", "rejected"),
        ("maxlen", "longer"),
        ("of next year", "did not say"),
        (None, "did not say"),
    ],
)
def test_a_job_that_was_given_up_ends_with_a_dead_letter_and_an_event(why: str | None, words: str) -> None:
    bench = Bench()
    message = body(reply_to="corti.results.ehr-2", metadata={"a": 1})
    bench.give_up(message, why)
    (letter,) = bench.world.publisher.letters
    assert (letter.id, letter.reason, letter.queue) == (
        f"{JOB}/dead-letter",
        Reason.UNDELIVERABLE,
        "corti.work",
    )
    assert (letter.payload, letter.attempts, letter.received_at) == (message.decode(), 0, EPOCH)
    assert words in letter.detail
    ((event, reply_to),) = bench.world.publisher.events
    assert (event.type, event.id, reply_to) == (FAILED, f"{JOB}/result", "corti.results.ehr-2")
    assert isinstance(event.data, Failed)
    assert (event.data.reason, event.data.detail, event.data.metadata) == (
        Reason.UNDELIVERABLE,
        letter.detail,
        {"a": 1},
    )
    assert [entry.step for entry in bench.audit.entries] == [Step.FAILED]
    counts = bench.world.recorder.counts
    assert counts[catalogue.DEAD_LETTERS.name, "undeliverable"] == 1
    assert counts[catalogue.JOBS_FINISHED.name, "failed", "undeliverable"] == 1
    assert [claim.job_id for claim in bench.forgotten] == [JOB]


def test_a_copy_that_is_given_up_later_makes_no_second_event() -> None:
    bench = Bench()
    for _ in range(3):
        bench.give_up(body())
    assert (len(bench.world.publisher.letters), len(bench.world.publisher.events)) == (1, 1)
    assert bench.world.recorder.counts[catalogue.JOBS_REPEATED.name, "dropped"] == 2


def test_a_job_that_has_ended_well_stays_so() -> None:
    bench = Bench()
    bench.world.run(body())
    bench.give_up(body())
    assert [event.type for event, _ in bench.world.publisher.events][-1] == COMPLETED
    assert (bench.world.publisher.letters, bench.world.publisher.set_aside_bodies) == ([], [])


def test_a_job_that_a_worker_runs_goes_aside_with_its_headers() -> None:
    bench = Bench()
    claim = bench.world.ledger.claim(JOB)
    assert isinstance(claim, Claim)
    bench.give_up(body())
    assert bench.nothing_happened()
    assert (bench.world.publisher.set_aside_bodies, bench.world.publisher.headers) == ([body()], [NOTED])
    # Its worker dies: the job is tried again, and not given up.
    bench.world.clock.advance(bench.world.ledger.lease)
    assert bench.world.run(body()) is DeliveryOutcome.DONE
    assert bench.world.publisher.types[-1] == COMPLETED


def test_a_job_that_cannot_go_aside_stays_with_the_broker() -> None:
    bench = Bench()
    bench.world.ledger.claim(JOB)
    bench.world.publisher.away = {"aside"}
    with pytest.raises(BrokerUnavailable):
        bench.give_up(body())


def test_the_failure_names_attempts_and_interaction_of_earlier_workers() -> None:
    bench = Bench()
    ledger = bench.world.ledger
    claim = ledger.claim(JOB)
    assert isinstance(claim, Claim)
    ledger.remember(claim, "interaction-7", "wss://x")
    bench.world.clock.advance(ledger.lease)
    bench.give_up(body())
    failed = bench.world.publisher.last
    assert isinstance(failed, Failed)
    assert (failed.attempts, failed.interaction_id) == (1, "interaction-7")


@pytest.mark.parametrize("step", ["claim", "store"])
def test_while_redis_is_away_the_message_stays_with_the_broker(step: str) -> None:
    bench = Bench()
    bench.world.ledger.away = {step: 2}
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            bench.give_up(body())
    assert bench.nothing_happened()
    bench.give_up(body())
    assert bench.world.publisher.types == [FAILED]
    assert isinstance(bench.world.publisher.last, Failed)
    assert bench.world.publisher.last.attempts == 0


@pytest.mark.parametrize("away", ["letters", FAILED])
def test_a_failure_that_the_broker_does_not_confirm_is_left_to_the_outbox_and_published_once(
    away: str,
) -> None:
    bench = Bench()
    bench.world.publisher.away = {away}
    bench.give_up(body())
    assert bench.world.publisher.set_aside_bodies == [body()], (
        "the job must go aside until its failure was published"
    )
    bench.world.publisher.away = set()
    bench.world.clock.advance(bench.world.ledger.lease)
    assert bench.world.sweeper.sweep() == 1
    assert bench.world.publisher.types == [FAILED]
    bench.give_up(body())
    assert bench.world.publisher.types == [FAILED]


@pytest.mark.parametrize("message", [b"no job", b"", b"\xff", b"[]", body(reply_to="somebody.elses")])
def test_a_message_without_a_job_of_ours_becomes_a_dead_letter_without_an_event(message: bytes) -> None:
    bench = Bench()
    with capture_logs() as logs:
        bench.undelivered.take(GivenUp(message, message, "corti.jobs", "expired"))
    (letter,) = bench.world.publisher.letters
    assert (letter.reason, letter.queue, letter.size) == (Reason.UNDELIVERABLE, "corti.jobs", len(message))
    assert letter.id == f"corti.jobs/{letter.sha256}"
    assert letter.errors
    assert bench.world.publisher.events == []
    assert bench.world.ledger.records == {}
    assert [line["event"] for line in logs] == ["message_refused"]
    assert "somebody" not in json.dumps(logs, default=str)


def test_a_producer_cannot_make_a_label() -> None:
    bench = Bench()
    bench.give_up(json.dumps({**SMALLEST, "tenant": "Ada"}).encode())
    counts = bench.world.recorder.counts
    assert counts[catalogue.TENANT_JOBS_FINISHED.name, "unknown", "failed"] == 1
