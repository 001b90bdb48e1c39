"""What is recorded about a job: waiting time, first segment, log line, audit trail, notes on its span."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import structlog
from structlog.testing import capture_logs

from tests.fakes import EPOCH, FakePublisher, FakeRecorder
from tests.unit.examples import body, heard
from tests.unit.jobs.world import World
from worker.contract.errors import PermanentError, Reason, TransientError
from worker.jobs.ingress import Ingress
from worker.jobs.ingress_headers import NO_HEADERS, DeliveryOutcome, IngressHeaders
from worker.jobs.refusals import Refusals
from worker.protocol.messages import TranscriptMessage
from worker.telemetry import catalogue, trace
from worker.telemetry.audit import Entry, Step
from worker.telemetry.trace import Kind, Value

CUT = TransientError(Reason.STREAM_INTERRUPTED, "the connection was lost")
BAD = PermanentError(Reason.CONFIG_DENIED, "the service refused the configuration")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SAID = TranscriptMessage((heard("Ada", 0.0, 1.0),))


class Watched:
    """Implements `Audit` and `Tracer` by keeping all calls, for the jobs of one world."""

    def __init__(self, world: World) -> None:
        self.entries: list[Entry] = []
        self.spans: list[tuple[str, str | None]] = []
        self.notes: list[tuple[str, dict[str, Value]]] = []
        self.world = world
        runner = dataclasses.replace(world.runner, tracer=self, audit=self)
        world.deliveries = dataclasses.replace(
            world.deliveries, runner=runner, queue="corti.work", tracer=self, audit=self
        )
        world.sweeper = dataclasses.replace(world.sweeper, audit=self)

    def record(self, entry: Entry) -> None:
        self.entries.append(entry)

    @contextmanager
    def span(
        self, name: str, *, kind: Kind = "internal", parent: str | None = None, **attributes: Value
    ) -> Iterator[None]:
        self.spans.append((name, parent))
        with trace.within(parent):
            yield

    def note(self, name: str, **attributes: Value) -> None:
        self.notes.append((name, attributes))

    def steps(self) -> list[tuple[str, str | None]]:
        """The step and the reason of each audit record."""
        return [(entry.step.name, entry.reason) for entry in self.entries]

    def take(self, headers: IngressHeaders = NO_HEADERS, **job: object) -> DeliveryOutcome:
        """Take one delivery."""
        return self.world.deliveries.take(body(**job), self.world.interrupt, headers)


def waits(world: World) -> list[float]:
    """The waiting times that were measured."""
    return world.recorder.values.get(catalogue.JOB_WAIT_SECONDS.name, [])


def test_the_steps_of_a_job_are_recorded() -> None:
    watched = Watched(World(SAID))
    watched.world.service.breaks("stream", CUT)
    watched.take()
    assert watched.steps() == [
        ("CLAIMED", None),
        ("STREAMED", "stream_interrupted"),
        ("STREAMED", None),
        ("PUBLISHED", None),
    ]
    assert {entry.job_id for entry in watched.entries} == {"visit-17"}
    assert watched.entries[2].details == {
        "interaction": "interaction-1",
        "audio_seconds": 0.625,
        "audio_bytes": 20,
    }


def test_the_steps_of_a_failed_job_are_recorded_too() -> None:
    watched = Watched(World())
    watched.world.service.breaks("open", BAD)
    watched.take()
    assert watched.steps() == [("CLAIMED", None), ("FAILED", "config_denied")]


def test_the_trail_of_a_result_that_another_delivers_ends_there() -> None:
    watched = Watched(World())
    watched.world.publisher.away = {"corti.job.completed.v1"}
    watched.take()
    assert ("PUBLISHED", None) not in watched.steps()
    watched.world.publisher.away = set()
    watched.world.clock.advance(60)
    assert watched.world.sweeper.sweep() == 1
    assert watched.steps()[-1] == ("PUBLISHED", None)
    assert watched.world.recorder.counts[catalogue.RESULTS_SWEPT.name,] == 1


def test_the_wait_for_the_first_start_is_measured_once() -> None:
    watched = Watched(World(SAID))
    headers = IngressHeaders(EPOCH - timedelta(seconds=12))
    with capture_logs() as logs:
        watched.take(headers)
        watched.take(headers)
    assert waits(watched.world) == [12.0]
    assert [line["waited"] for line in logs if line["event"] == "job_completed"] == [12.0]


@pytest.mark.parametrize("headers", [IngressHeaders(), IngressHeaders(None, PARENT)])
def test_an_unknown_wait_is_not_measured(headers: IngressHeaders) -> None:
    watched = Watched(World())
    watched.take(headers)
    assert waits(watched.world) == []


def test_clocks_that_disagree_make_no_negative_wait() -> None:
    watched = Watched(World())
    watched.take(IngressHeaders(EPOCH + timedelta(seconds=3)))
    assert waits(watched.world) == [0.0]


def test_a_job_that_had_started_before_does_not_count_as_waiting() -> None:
    watched = Watched(World())
    watched.world.ledger.claim("visit-17")
    watched.world.clock.advance(31)
    watched.take(IngressHeaders(EPOCH))
    assert waits(watched.world) == []
    assert watched.entries[0].details["takeover"] is True


def test_the_first_segment_is_timed_from_its_own_streams_opening() -> None:
    watched = Watched(World(SAID, SAID))
    world = watched.world
    world.service.breaks("stream", CUT)
    world.service.during = lambda: world.clock.advance(2.0)
    with capture_logs() as logs:
        watched.take()
    assert world.recorder.values[catalogue.FIRST_SEGMENT_SECONDS.name] == [2.0, 2.0]
    (line,) = [line for line in logs if line["event"] == "job_completed"]
    assert line["first_segment"] == 2.0
    assert line["streamed_seconds"] == 0.625 + 0.25
    assert line["retries"] == {"stream_interrupted": 1}
    # Four chunks of 2 s each and a pause of 1 s; the audio itself lasts 0.625 s.
    assert (line["seconds"], line["paused"]) == (9.0, 1.0)
    assert world.recorder.values[catalogue.JOB_OVERHEAD_SECONDS.name] == [8.375]


def test_a_job_that_is_quicker_than_its_audio_has_no_overhead() -> None:
    watched = Watched(World())
    watched.take(pace=0.5)
    assert watched.world.recorder.values[catalogue.JOB_OVERHEAD_SECONDS.name] == [0.0]


def test_spans_and_notes_hold_codes_and_numbers() -> None:
    watched = Watched(World(SAID))
    watched.world.service.breaks("stream", CUT)
    watched.take(IngressHeaders(None, PARENT), metadata={"note": "Ada"})
    assert watched.spans == [("process corti.work", PARENT)]
    assert [name for name, _ in watched.notes] == [
        "stream_open",
        "first_segment",
        "attempt_failed",
        "stream_open",
        "first_segment",
    ]
    assert watched.notes[2][1] == {"reason": "stream_interrupted", "attempt": 1}
    assert "Ada" not in str((watched.spans, watched.notes, watched.entries))


def test_a_delivery_that_is_not_run_is_noted_on_its_span() -> None:
    watched = Watched(World())
    watched.world.publisher.away = {"corti.job.completed.v1"}
    assert watched.take() is DeliveryOutcome.HAND_BACK
    assert watched.notes[-1] == ("not_done", {"outcome": "hand_back"})


@pytest.mark.parametrize(
    ("headers", "carried"), [(IngressHeaders(None, PARENT), PARENT), (IngressHeaders(), None)]
)
def test_events_carry_the_trace_on(headers: IngressHeaders, carried: str | None) -> None:
    watched = Watched(World())
    watched.take(headers)
    assert {event.traceparent for event, _ in watched.world.publisher.events} == {carried}


def test_every_line_of_a_job_bears_its_id_and_attempt() -> None:
    watched = Watched(World())
    world = watched.world
    bound = []
    world.service.breaks("stream", CUT)
    world.service.during = lambda: bound.append(structlog.contextvars.get_contextvars())
    watched.take()
    assert [(one["job_id"], one["attempt"]) for one in bound] == [("visit-17", 1)] + [("visit-17", 2)] * 3
    assert structlog.contextvars.get_contextvars() == {}


class Traced:
    """A door, and a queue behind it that records the trace in which each job was put."""

    def __init__(self) -> None:
        self.traces: list[str | None] = []
        self.watched = Watched(World())
        self.ingress = Ingress(
            work=self,
            refusals=Refusals(FakePublisher(), FakeRecorder(), self.watched.world.clock, self.watched),
            recorder=FakeRecorder(),
            clock=self.watched.world.clock,
            reply_prefix="corti.results.",
            queue="corti.jobs",
            tracer=self.watched,
            audit=self.watched,
        )

    def put(self, _: bytes, headers: IngressHeaders) -> None:
        self.traces.append(trace.current())


def test_the_door_records_what_it_takes_in_and_what_it_refuses() -> None:
    door = Traced()
    door.ingress.take(body(traceparent=PARENT))
    door.ingress.take(body(pace=-1))
    door.ingress.take(b"Ada")
    assert door.watched.spans == [("process corti.jobs", PARENT)]
    assert door.traces == [PARENT]
    assert door.watched.steps() == [
        ("RECEIVED", None),
        ("FAILED", "invalid_job"),
        ("FAILED", "invalid_job"),
    ]
    assert [entry.job_id for entry in door.watched.entries] == ["visit-17", "visit-17", None]
    assert Step.RECEIVED is door.watched.entries[0].step
