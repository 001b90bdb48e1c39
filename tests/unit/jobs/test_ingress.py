"""The door's decision: good jobs go to Celery's queue, all else to the dead letters, and nothing is lost."""

import hashlib
import json
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.fakes import EPOCH, FakeAudit, FakeClock, FakePublisher, FakeRecorder, FakeWorkQueue
from tests.unit.examples import SMALLEST, body
from worker.contract.dead_letter import DeadLetter
from worker.contract.errors import Reason
from worker.jobs.ingress import Ingress
from worker.jobs.ingress_headers import IngressHeaders
from worker.jobs.ports import BrokerUnavailable
from worker.jobs.refusals import Refusals
from worker.telemetry import catalogue
from worker.telemetry.audit import Step


class Doorway:
    """An ingress, with fakes of Celery's queue and of the queue of dead letters."""

    def __init__(self) -> None:
        self.work = FakeWorkQueue()
        self.publisher = FakePublisher()
        self.recorder = FakeRecorder()
        self.audit = FakeAudit()
        clock = FakeClock()
        self.ingress = Ingress(
            work=self.work,
            refusals=Refusals(self.publisher, self.recorder, clock, self.audit),
            recorder=self.recorder,
            clock=clock,
            audit=self.audit,
            reply_prefix="corti.results.",
            queue="corti.jobs",
        )

    def refuse(self, message: bytes) -> DeadLetter:
        """Take a bad message; return the dead letter that it becomes."""
        self.ingress.take(message)
        assert self.work.bodies == []
        (letter,) = self.publisher.letters
        return letter


@pytest.mark.parametrize(
    "message",
    [
        body(),
        body(reply_to="corti.results.ehr-2"),
        json.dumps({"specversion": "1.0", "data": SMALLEST}).encode(),
        b"  " + body() + b"\n",
    ],
)
def test_a_good_job_is_handed_on_byte_for_byte(message: bytes) -> None:
    doorway = Doorway()
    doorway.ingress.take(message)
    assert doorway.work.bodies == [message]
    assert doorway.publisher.letters == []
    assert doorway.recorder.counts == {(catalogue.DOOR_MESSAGES.name, "accepted"): 1}


def test_a_bad_message_becomes_a_dead_letter_that_says_what_is_wrong() -> None:
    message = body(pace=0, colour="red")
    letter = Doorway().refuse(message)
    assert (letter.reason, letter.queue, letter.job_id) == (Reason.INVALID_JOB, "corti.jobs", "visit-17")
    assert {error.field for error in letter.errors} == {"pace", "colour"}
    assert letter.payload == message.decode()
    assert letter.attempts == 0
    assert letter.received_at == letter.dead_at == EPOCH


@pytest.mark.parametrize("message", [b"", b"\xff\x00", b"[]", b"{", b"\x80\x02}q\x00."])
def test_any_bytes_are_taken(message: bytes) -> None:
    letter = Doorway().refuse(message)
    assert letter.size == len(message)
    assert letter.errors


@pytest.mark.parametrize("reply_to", ["corti.results", "corti.work", "corti.jobs", "other.corti.results.x"])
def test_an_answer_to_a_queue_outside_of_the_prefix_is_refused(reply_to: str) -> None:
    letter = Doorway().refuse(body(reply_to=reply_to))
    (error,) = letter.errors
    assert (error.field, error.expected) == (
        "reply_to",
        "expected a queue whose name starts with corti.results.",
    )
    assert letter.job_id == "visit-17"


def test_a_refusal_is_counted_and_logged_without_anything_of_the_message() -> None:
    doorway, message = Doorway(), body(pace="Ada", Ada="Example")
    with capture_logs() as logs:
        doorway.refuse(message)
    assert doorway.recorder.counts == {
        (catalogue.DOOR_MESSAGES.name, "refused"): 1,
        (catalogue.DEAD_LETTERS.name, "invalid_job"): 1,
    }
    assert logs == [
        {
            "event": "message_refused",
            "log_level": "warning",
            "job_id": "visit-17",
            "reason": "invalid_job",
            "queue": "corti.jobs",
            "size": len(message),
            "sha256": hashlib.sha256(message).hexdigest()[:16],
            "problems": 2,
        }
    ]
    assert "Ada" not in str(logs)


def test_a_job_whose_put_was_not_confirmed_stays_where_it_is() -> None:
    doorway = Doorway()
    doorway.work.away = True
    with pytest.raises(BrokerUnavailable):
        doorway.ingress.take(body())
    assert not doorway.recorder.counts
    assert doorway.publisher.letters == []


def test_a_dead_letter_that_was_not_confirmed_leaves_the_message_where_it_is() -> None:
    doorway = Doorway()
    doorway.publisher.away = {"letters"}
    with pytest.raises(BrokerUnavailable):
        doorway.ingress.take(b"{}")
    assert not doorway.recorder.counts


_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_job_is_dated_when_it_is_accepted_and_recorded_once() -> None:
    doorway = Doorway()
    doorway.ingress.take(body())
    assert doorway.work.accepted == [EPOCH]
    assert [entry.step for entry in doorway.audit.entries] == [Step.RECEIVED]


def test_a_job_that_was_set_aside_keeps_its_first_date_and_trace_and_is_not_recorded_again() -> None:
    doorway = Doorway()
    first = EPOCH - timedelta(seconds=300)
    doorway.ingress.take(body(), IngressHeaders(first, _TRACE))
    assert doorway.work.bodies == [body()]
    assert (doorway.work.accepted, doorway.work.traceparents) == ([first], [_TRACE])
    assert doorway.audit.entries == []
    assert not doorway.recorder.counts


@pytest.mark.parametrize(
    "known", [IngressHeaders(EPOCH + timedelta(seconds=1), _TRACE), IngressHeaders(None, _TRACE)]
)
def test_a_date_that_no_door_can_have_written_is_ignored(known: IngressHeaders) -> None:
    doorway = Doorway()
    doorway.ingress.take(body(), known)
    assert (doorway.work.accepted, doorway.work.traceparents) == ([EPOCH], [None])
    assert [entry.step for entry in doorway.audit.entries] == [Step.RECEIVED]
    assert doorway.recorder.counts == {(catalogue.DOOR_MESSAGES.name, "accepted"): 1}


def test_a_job_that_was_set_aside_and_that_this_version_cannot_read_is_refused_as_any() -> None:
    doorway = Doorway()
    doorway.ingress.take(body(a_key_of_next_year=1), IngressHeaders(EPOCH, _TRACE))
    assert [letter.reason for letter in doorway.publisher.letters] == [Reason.INVALID_JOB]
