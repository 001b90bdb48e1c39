"""A delivery whose job completes: events, attempts, measurements, log."""

import json
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.fakes import EPOCH
from tests.unit.examples import FULL, body, fact, heard
from tests.unit.jobs.world import World
from worker.contract.errors import Reason, TransientError
from worker.contract.events import COMPLETED, FACTS, PROGRESS, SEGMENTS, STARTED, Completed, Started
from worker.contract.message import InvalidJob
from worker.jobs.ingress_headers import DeliveryOutcome
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage
from worker.telemetry import catalogue

INTERIM = TranscriptMessage((heard("it hurts, says Ada", 8, 9, final=False),))
WORDS = TranscriptMessage((heard("It hurts, says Ada.", 1, 2), heard("Where?", 3, 4)))
FOUND = FactsMessage((fact("f1"), fact("f2")))
CUT = TransientError(Reason.STREAM_INTERRUPTED, "the connection was lost")
AWAY = TransientError(Reason.UPSTREAM_UNAVAILABLE, "no connection")
LIVE = ["progress", "transcript", "facts"]


def speaking(attempts: int = 3) -> World:
    """A world whose streams yield transcripts and facts."""
    return World(WORDS, FOUND, INTERIM, Usage(0.04, final=True), attempts=attempts)


def test_a_job_starts_once_and_completes_once() -> None:
    world = speaking()
    world.run(body(metadata={"ward": 7}))
    assert world.publisher.types == [STARTED, COMPLETED]
    (started, _), (completed, reply_to) = world.publisher.events
    assert started.data == Started(attempt=1, metadata={"ward": 7})
    assert isinstance(completed.data, Completed)
    assert (completed.data.attempts, completed.data.metadata) == (1, {"ward": 7})
    assert (completed.subject, completed.id, reply_to) == ("visit-17", "visit-17/result", None)
    assert world.publisher.letters == []


def test_every_event_carries_the_jobs_trace_and_goes_where_the_job_says() -> None:
    world = speaking()
    world.run(json.dumps({**FULL, "not_after": None}).encode())
    assert len(world.publisher.events) > 4
    for event, reply_to in world.publisher.events:
        assert event.traceparent == FULL["traceparent"]
        assert reply_to == "corti.results.ehr-2"


def test_the_same_job_run_twice_has_the_same_ids() -> None:
    first, second = speaking(), speaking()
    for world in first, second:
        world.run(body(events=LIVE))
    assert [event.id for event, _ in first.publisher.events] == [
        event.id for event, _ in second.publisher.events
    ]


@pytest.mark.parametrize("lost", [STARTED, PROGRESS, SEGMENTS, FACTS])
def test_a_live_event_that_is_lost_does_not_stop_the_job(lost: str) -> None:
    world = speaking()
    world.publisher.away = {lost}
    with capture_logs() as logs:
        world.run(body(events=LIVE))
    assert lost not in world.publisher.types
    assert world.publisher.types[-1] == COMPLETED
    dropped = [line for line in logs if line["event"] == "live_event_dropped"]
    # The broker was just away, so later live events are dropped, too.
    assert dropped[0]["type"] == lost
    assert {line["job_id"] for line in dropped} == {"visit-17"}


def test_a_job_whose_final_event_is_not_confirmed_is_handed_back_and_not_run_again() -> None:
    world = speaking()
    world.publisher.away = {COMPLETED}
    assert world.run(body()) is DeliveryOutcome.HAND_BACK
    assert world.recorder.counts[catalogue.JOBS_FINISHED.name, "completed", "none"] == 0
    assert world.nothing_is_left_open()
    # The result is stored: the next sweep delivers it, and the job is not run again.
    world.publisher.away = set()
    world.clock.advance(world.ledger.lease)
    assert world.sweeper.sweep() == 1
    assert world.publisher.types == [STARTED, COMPLETED]
    assert world.run(body()) is DeliveryOutcome.DONE
    assert world.publisher.types == [STARTED, COMPLETED]


def test_a_failed_attempt_is_repeated_after_the_policys_wait() -> None:
    world = speaking()
    silent = TransientError(Reason.STREAM_SILENT, "no answer", retry_after=30)
    world.service.breaks("stream", CUT, None, silent)
    world.run(body())
    # With the fixed jitter: half of 2 s, then half of 4 s and the 30 s that the server asked for.
    assert world.waits == [1.0, 32.0]
    assert isinstance(world.publisher.last, Completed)
    assert world.publisher.last.attempts == 3
    assert world.publisher.types.count(STARTED) == 1
    assert world.recorder.counts[catalogue.JOBS_RETRIED.name, "stream_interrupted"] == 1
    assert world.recorder.counts[catalogue.JOBS_RETRIED.name, "stream_silent"] == 1


def test_an_interaction_is_made_once_over_all_attempts() -> None:
    # The fake refuses a second interaction of the same encounter, as the service does.
    world = speaking(attempts=5)
    world.service.breaks("create", CUT)
    world.service.breaks("open", CUT)
    world.service.breaks("stream", CUT, None, CUT)
    world.run(body())
    assert isinstance(world.publisher.last, Completed)
    assert (world.publisher.last.attempts, world.publisher.last.interaction_id) == (5, "interaction-1")
    assert world.nothing_is_left_open()


def test_a_result_holds_nothing_of_the_attempts_before() -> None:
    world = speaking()
    world.service.breaks("stream", CUT)
    world.run(body())
    assert isinstance(world.publisher.last, Completed)
    assert [one.text for one in world.publisher.last.segments] == [
        "It hurts, says Ada.",
        "Where?",
        "it hurts, says Ada",
    ]
    assert world.publisher.last.audio.bytes == 20


def test_a_finished_job_is_measured() -> None:
    world = speaking()
    world.service.breaks("create", CUT)
    world.run(body())
    assert {name: value for (name, *_), value in world.recorder.counts.items()} == {
        catalogue.CLAIMS.name: 1,
        catalogue.JOBS_RECEIVED.name: 1,
        catalogue.JOBS_RETRIED.name: 1,
        catalogue.JOBS_FINISHED.name: 1,
        catalogue.TENANT_JOBS_FINISHED.name: 1,
        catalogue.SEGMENTS.name: 2,
        catalogue.FACTS.name: 2,
        catalogue.CREDITS.name: 0.04,
    }
    # The job waited for half of the backoff's 2 s; the fake sends the 0.625 s of audio in no time.
    assert world.recorder.values == {
        catalogue.JOB_SECONDS.name: [1.0],
        catalogue.JOB_AUDIO_SECONDS.name: [0.625],
        catalogue.JOB_OVERHEAD_SECONDS.name: [0.375],
        catalogue.FIRST_SEGMENT_SECONDS.name: [0.0],
    }


def test_the_log_shows_numbers_and_codes_and_no_words_of_the_job() -> None:
    world = speaking()
    world.service.breaks("create", CUT)
    with capture_logs() as logs:
        world.run(json.dumps({**FULL, "not_after": None}).encode())
    assert [line["event"] for line in logs] == ["attempt_failed", "job_completed"]
    assert logs[0] == {
        "event": "attempt_failed",
        "log_level": "info",
        "job_id": "visit-17",
        "tenant": "base",
        "attempt": 1,
        "reason": "stream_interrupted",
        "next_in": 1.0,
    }
    done = logs[1]
    assert (done["segments"], done["facts"], done["audio_seconds"], done["seconds"]) == (3, 2, 0.625, 1.0)
    for secret in "Ada", "hurts", "Knee", "p-4", "ehr.example", "enc-17", "pain":
        assert secret not in str(logs)


def test_the_times_of_events_are_wall_clock_times() -> None:
    world = speaking()
    world.service.breaks("create", CUT)
    world.run(body())
    assert [event.time for event, _ in world.publisher.events] == [EPOCH, EPOCH + timedelta(seconds=1)]


def test_a_body_that_is_no_job_is_not_for_the_runner() -> None:
    world = speaking()
    with pytest.raises(InvalidJob):
        world.run(b"{}")
    assert world.publisher.events == []
    assert not world.recorder.counts


def test_a_service_that_is_away_for_long_costs_no_attempt() -> None:
    world = speaking(attempts=1)
    world.service.breaks("create", *[AWAY] * 40)
    assert world.run(body()) is DeliveryOutcome.DONE
    assert isinstance(world.publisher.last, Completed)
    assert world.publisher.last.attempts == 1
    # With the fixed jitter: half of 2, 4, 8, 16, 32 s, then half of the cap.
    assert world.waits == [1.0, 2.0, 4.0, 8.0, 16.0] + [30.0] * 35
    assert world.recorder.counts[catalogue.JOBS_RETRIED.name, "upstream_unavailable"] == 40


def test_each_outage_is_waited_out_from_its_own_beginning() -> None:
    world = World(attempts=2, outage=10.0)
    world.service.breaks("open", AWAY, AWAY, AWAY, None, AWAY, AWAY, AWAY)
    world.service.breaks("stream", CUT)
    world.run(body())
    assert isinstance(world.publisher.last, Completed)
    assert world.publisher.last.attempts == 2
    assert world.waits == [1.0, 2.0, 4.0, 1.0, 1.0, 2.0, 4.0]


def test_an_interaction_whose_create_answer_got_lost_is_found_and_used() -> None:
    world = speaking()
    world.service.interactions["visit-17"] = "interaction-1"
    world.run(body())
    assert isinstance(world.publisher.last, Completed)
    assert world.publisher.last.interaction_id == "interaction-1"
