"""What the broker gave up: a dead letter and a failure, once, unless the job has ended or is running."""

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
from worker.telemetry import measures
from worker.telemetry.audit import Step

JOB = "visit-17"
NOTED = IngressHeaders(EPOCH)


class Office:
    """The world of deliveries, and what takes the messages that its broker gave up."""

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
    office = Office()
    message = body(reply_to="corti.results.ehr-2", metadata={"a": 1})
    office.give_up(message, why)
    (letter,) = office.world.publisher.letters
    assert (letter.id, letter.reason, letter.queue) == (
        f"{JOB}/dead-letter",
        Reason.UNDELIVERABLE,
        "corti.work",
    )
    assert (letter.payload, letter.attempts, letter.received_at) == (message.decode(), 0, EPOCH)
    assert words in letter.detail
    ((event, reply_to),) = office.world.publisher.events
    assert (event.type, event.id, reply_to) == (FAILED, f"{JOB}/result", "corti.results.ehr-2")
    assert isinstance(event.data, Failed)
    assert (event.data.reason, event.data.detail, event.data.metadata) == (
        Reason.UNDELIVERABLE,
        letter.detail,
        {"a": 1},
    )
    assert [entry.step for entry in office.audit.entries] == [Step.FAILED]
    counts = office.world.recorder.counts
    assert counts[measures.DEAD_LETTERS.name, "undeliverable"] == 1
    assert counts[measures.JOBS_FINISHED.name, "failed", "undeliverable"] == 1
    assert [claim.job_id for claim in office.forgotten] == [JOB]


def test_a_copy_that_is_given_up_later_tells_nobody_a_second_time() -> None:
    office = Office()
    for _ in range(3):
        office.give_up(body())
    assert (len(office.world.publisher.letters), len(office.world.publisher.events)) == (1, 1)
    assert office.world.recorder.counts[measures.JOBS_REPEATED.name, "dropped"] == 2


def test_a_job_that_has_ended_well_stays_so() -> None:
    office = Office()
    office.world.run(body())
    office.give_up(body())
    assert [event.type for event, _ in office.world.publisher.events][-1] == COMPLETED
    assert (office.world.publisher.letters, office.world.publisher.set_aside_bodies) == ([], [])


def test_a_job_that_somebody_runs_goes_aside_with_what_is_known_of_it() -> None:
    office = Office()
    claim = office.world.ledger.claim(JOB)
    assert isinstance(claim, Claim)
    office.give_up(body())
    assert office.nothing_happened()
    assert (office.world.publisher.set_aside_bodies, office.world.publisher.headers) == ([body()], [NOTED])
    # Its worker dies: the job is tried again, and not given up.
    office.world.clock.advance(office.world.ledger.lease)
    assert office.world.run(body()) is DeliveryOutcome.DONE
    assert office.world.publisher.types[-1] == COMPLETED


def test_a_job_that_goes_aside_nowhere_stays_with_the_broker() -> None:
    office = Office()
    office.world.ledger.claim(JOB)
    office.world.publisher.away = {"aside"}
    with pytest.raises(BrokerUnavailable):
        office.give_up(body())


def test_attempts_and_interaction_of_workers_before_are_told() -> None:
    office = Office()
    ledger = office.world.ledger
    claim = ledger.claim(JOB)
    assert isinstance(claim, Claim)
    ledger.remember(claim, "interaction-7", "wss://x")
    office.world.clock.advance(ledger.lease)
    office.give_up(body())
    failed = office.world.publisher.last
    assert isinstance(failed, Failed)
    assert (failed.attempts, failed.interaction_id) == (1, "interaction-7")


@pytest.mark.parametrize("step", ["claim", "store"])
def test_while_redis_is_away_the_message_stays_with_the_broker(step: str) -> None:
    office = Office()
    office.world.ledger.away = {step: 2}
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            office.give_up(body())
    assert office.nothing_happened()
    office.give_up(body())
    assert office.world.publisher.types == [FAILED]
    assert isinstance(office.world.publisher.last, Failed)
    assert office.world.publisher.last.attempts == 0


@pytest.mark.parametrize("away", ["letters", FAILED])
def test_what_the_broker_does_not_confirm_is_left_to_the_outbox_and_told_once(away: str) -> None:
    office = Office()
    office.world.publisher.away = {away}
    office.give_up(body())
    assert office.world.publisher.set_aside_bodies == [body()], "until it has been told"
    office.world.publisher.away = set()
    office.world.clock.advance(office.world.ledger.lease)
    assert office.world.sweeper.sweep() == 1
    assert office.world.publisher.types == [FAILED]
    office.give_up(body())
    assert office.world.publisher.types == [FAILED]


@pytest.mark.parametrize("message", [b"no job", b"", b"\xff", b"[]", body(reply_to="somebody.elses")])
def test_what_holds_no_job_of_ours_becomes_a_dead_letter_alone(message: bytes) -> None:
    office = Office()
    with capture_logs() as logs:
        office.undelivered.take(GivenUp(message, message, "corti.jobs", "expired"))
    (letter,) = office.world.publisher.letters
    assert (letter.reason, letter.queue, letter.size) == (Reason.UNDELIVERABLE, "corti.jobs", len(message))
    assert letter.id == f"corti.jobs/{letter.sha256}"
    assert letter.errors
    assert office.world.publisher.events == []
    assert office.world.ledger.records == {}
    assert [line["event"] for line in logs] == ["message_refused"]
    assert "somebody" not in json.dumps(logs, default=str)


def test_a_producer_invents_no_label() -> None:
    office = Office()
    office.give_up(json.dumps({**SMALLEST, "tenant": "Ada"}).encode())
    counts = office.world.recorder.counts
    assert counts[measures.TENANT_JOBS_FINISHED.name, "unknown", "failed"] == 1
