"""A delivery whose job fails: the reason, the dead letter, and the texts that must stay secret."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.fakes import EPOCH
from tests.unit.examples import body
from tests.unit.jobs.world import World
from worker.contract.errors import JobError, PermanentError, Reason, TokenRefused, TransientError
from worker.contract.events import COMPLETED, FAILED, STARTED, Failed
from worker.contract.tenancy import Tenancy
from worker.jobs.ingress_headers import DeliveryOutcome
from worker.telemetry import catalogue

CUT = TransientError(Reason.STREAM_INTERRUPTED, "the connection was lost")
DENIED = PermanentError(Reason.CONFIG_DENIED, "the service refused the configuration")


def outcome(world: World, message: bytes) -> Failed:
    """Run a job that must fail, with one final event and one dead letter that agree; return the failure."""
    world.run(message)
    assert world.publisher.types == [STARTED, FAILED]
    failed = world.publisher.last
    assert isinstance(failed, Failed)
    (letter,) = world.publisher.letters
    assert (letter.reason, letter.cause, letter.detail) == (failed.reason, failed.cause, failed.detail)
    assert (letter.attempts, letter.job_id, letter.queue) == (failed.attempts, "visit-17", "corti.work")
    assert (letter.payload or "").encode() == message
    assert world.recorder.counts[catalogue.DEAD_LETTERS.name, failed.reason] == 1
    assert world.recorder.counts[catalogue.JOBS_FINISHED.name, "failed", failed.reason] == 1
    assert world.nothing_is_left_open()
    return failed


def test_a_permanent_failure_ends_the_job_at_once() -> None:
    world = World()
    world.service.breaks("open", DENIED)
    failed = outcome(world, body(metadata={"ward": 7}))
    assert failed == Failed(
        reason=Reason.CONFIG_DENIED,
        detail="the service refused the configuration",
        cause=None,
        attempts=1,
        interaction_id="interaction-1",
        metadata={"ward": 7},
    )
    assert world.waits == []


def test_exhausted_attempts_name_the_last_failure_as_their_cause() -> None:
    world = World()
    world.service.breaks("create", CUT, CUT, TransientError(Reason.STREAM_SILENT, "no answer"))
    failed = outcome(world, body())
    assert (failed.reason, failed.cause, failed.attempts) == (
        Reason.ATTEMPTS_EXHAUSTED,
        Reason.STREAM_SILENT,
        3,
    )
    assert failed.detail == "3 attempts failed, the last one because: no answer"
    assert failed.interaction_id is None
    assert len(world.waits) == 2


@pytest.mark.parametrize(
    ("outage", "reason"),
    [
        (TokenRefused("HTTP 401"), Reason.AUTH_REJECTED),
        (TransientError(Reason.UPSTREAM_UNAVAILABLE, "no connection"), Reason.UPSTREAM_UNAVAILABLE),
        (TransientError(Reason.RATE_LIMITED, "HTTP 429"), Reason.RATE_LIMITED),
    ],
)
def test_an_outage_that_outlasts_patience_is_the_reason_itself(outage: JobError, reason: Reason) -> None:
    world = World(outage=10.0)
    world.service.breaks("create", *[outage] * 20)
    failed = outcome(world, body())
    assert (failed.reason, failed.cause, failed.attempts) == (reason, None, 1)
    assert world.waits == [1.0, 2.0, 4.0, 8.0]


def test_a_job_of_another_tenant_is_not_run_with_our_credentials() -> None:
    world = World()
    failed = outcome(world, body(tenant="clinic-2"))
    assert failed.reason is Reason.UNKNOWN_TENANT
    assert world.service.interactions == {}
    assert failed.attempts == 1
    assert world.waits == []
    assert world.recorder.counts[catalogue.TENANT_JOBS_FINISHED.name, "unknown", "failed"] == 1
    own = World()
    own.run(body(tenant="base"))
    assert own.publisher.types[-1] == COMPLETED


def test_each_tenants_jobs_are_transcribed_by_its_own_side_and_no_other() -> None:
    world, clinic = World(), World()
    world.runner.transcribers["clinic-a"] = clinic.transcriber  # type: ignore[index]  # a dictionary here
    world.run(body(tenant="clinic-a"))
    assert world.publisher.types[-1] == COMPLETED
    assert (len(world.service.streamed), len(clinic.service.streamed)) == (0, 1)
    assert world.recorder.counts[catalogue.TENANT_JOBS_FINISHED.name, "clinic-a", "completed"] == 1


def test_a_job_without_a_tenant_fails_where_there_is_no_default_tenant() -> None:
    world = World()
    world.deliveries = replace(world.deliveries, read=Tenancy(None, {"base": None}).read)
    failed = outcome(world, body())
    assert failed.reason is Reason.UNKNOWN_TENANT
    assert "names no tenant" in failed.detail


@pytest.mark.parametrize(("seconds", "expired"), [(-1, True), (0, True), (1, False)])
def test_a_job_whose_time_has_passed_is_not_run(seconds: float, expired: bool) -> None:
    world = World()
    message = body(not_after=(EPOCH + timedelta(seconds=seconds)).isoformat())
    if expired:
        assert outcome(world, message).reason is Reason.EXPIRED
        assert world.service.interactions == {}
    else:
        world.run(message)
        assert world.publisher.types[-1] == COMPLETED


def test_a_job_is_not_repeated_beyond_its_time() -> None:
    world = World()
    world.service.breaks("create", CUT, CUT)
    failed = outcome(world, body(not_after=(EPOCH + timedelta(seconds=2.5)).isoformat()))
    # After 1 s there was time for a second attempt, but not after another 2 s.
    assert (failed.reason, failed.cause, failed.attempts) == (Reason.EXPIRED, Reason.STREAM_INTERRUPTED, 2)
    assert world.waits == [1.0]


def test_a_dead_letter_keeps_when_the_job_came_and_when_it_died() -> None:
    world = World()
    world.service.breaks("create", CUT, DENIED)
    outcome(world, body())
    (letter,) = world.publisher.letters
    assert (letter.received_at, letter.dead_at) == (EPOCH, EPOCH + timedelta(seconds=1))


def test_a_failed_jobs_dead_letter_is_published_before_its_event_so_that_neither_can_be_lost() -> None:
    world = World()
    world.service.breaks("open", DENIED, DENIED)
    world.publisher.away = {"letters"}
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    assert world.publisher.types == [STARTED]
    again = World()
    again.service.breaks("open", DENIED)
    again.publisher.away = {FAILED}
    assert again.run(body()) is DeliveryOutcome.HAND_BACK
    assert len(again.publisher.letters) == 1


@pytest.mark.parametrize("step", ["create", "open", "stream"])
def test_a_fault_of_ours_is_retried_and_its_text_shows_nowhere(step: str) -> None:
    secret = "wss://corti.example/?token=s3cret&patient=Ada"
    world = World()
    world.service.breaks(step, *[ZeroDivisionError(secret)] * 3)
    with capture_logs() as logs:
        failed = outcome(world, body())
    assert (failed.reason, failed.cause) == (Reason.ATTEMPTS_EXHAUSTED, Reason.INTERNAL_ERROR)
    broke = [line for line in logs if line["event"] == "attempt_broke"]
    assert [(line["error"], line["attempt"], line["log_level"]) for line in broke] == [
        ("ZeroDivisionError", number, "error") for number in (1, 2, 3)
    ]
    published = [event.to_json().decode() for event, _ in world.publisher.events]
    letters = [letter.to_json().decode() for letter in world.publisher.letters]
    everything = json.dumps([logs, published, letters, [str(key) for key in world.recorder.counts]])
    for part in "s3cret", "Ada", "corti.example":
        assert part not in everything


def test_one_fault_of_ours_does_not_lose_the_consultation() -> None:
    world = World()
    world.service.breaks("stream", RuntimeError("oops"))
    world.run(body())
    assert world.publisher.types == [STARTED, COMPLETED]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_not_taken_for_a_failure_of_the_job(stop: type[BaseException]) -> None:
    world = World()
    world.service.breaks("stream", stop())
    with pytest.raises(stop):
        world.run(body())
    assert world.publisher.letters == []
    assert world.nothing_is_left_open()


def test_the_log_says_that_a_job_failed_and_why() -> None:
    world = World()
    world.service.breaks("create", CUT, CUT, CUT)
    with capture_logs() as logs:
        outcome(world, body())
    assert logs[-1] == {
        "event": "job_failed",
        "log_level": "warning",
        "job_id": "visit-17",
        "tenant": "base",
        "attempts": 3,
        "reason": "attempts_exhausted",
        "cause": "stream_interrupted",
        "seconds": 3.0,
        "waited": None,
        "paused": 3.0,
        "retries": {"stream_interrupted": 2},
        "takeover": False,
        "interaction_id": None,
        "streamed_seconds": 0,
        "first_segment": None,
    }
