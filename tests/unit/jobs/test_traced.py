"""Ports with spans around them: they give the same answers, and record what happened on each stream."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.unit.examples import SMALLEST, heard
from tests.unit.jobs.world import World
from worker.contract.dead_letter import DeadLetter
from worker.contract.errors import JobError, PermanentError, Reason, TokenRefused
from worker.contract.events import COMPLETED, Completed
from worker.contract.job import Job
from worker.jobs.claims import OutboxEntry
from worker.jobs.transcribe import Attempt, Transcriber
from worker.process.traced import TracedInteractions, TracedPublisher, TracedStreams, TracedTokens
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage
from worker.telemetry import trace
from worker.telemetry.otel import OtelTracer

JOB = Job.from_message(json.dumps(SMALLEST).encode())
SAID = TranscriptMessage((heard("Ada", 0.0, 1.0),))
CREDITS = Usage(credits=0.25, final=True)
DENIED = PermanentError(Reason.CONFIG_DENIED, "refused")


class Bench:
    """A world whose ports are traced."""

    def __init__(self, world: World, tracer: OtelTracer, exporter: InMemorySpanExporter) -> None:
        self.world = world
        self.tracer = tracer
        self._exporter = exporter
        self.transcriber = Transcriber(
            TracedTokens(world.auth, tracer),
            TracedInteractions(world.service, tracer),
            world.library,
            TracedStreams(world.service, tracer),
        )

    def run(self) -> Completed:
        return self.transcriber.transcribe(JOB, Attempt(), self.world.interrupt, lambda _: None)

    def spans(self) -> list[ReadableSpan]:
        self.tracer._provider.force_flush()
        return list(self._exporter.get_finished_spans())

    def named(self) -> list[tuple[str, str | None]]:
        """The name of each span and, if it failed, the reason; in the order in which they ended."""
        return [(span.name, span.status.description) for span in self.spans()]


@contextmanager
def bench(*says: TranscriptMessage | FactsMessage | Usage) -> Iterator[Bench]:
    exporter = InMemorySpanExporter()
    tracer = OtelTracer("redis", exporter)
    yield Bench(World(*says), tracer, exporter)
    tracer.close()


def test_the_spans_of_an_attempt_are_its_steps() -> None:
    with bench(SAID, FactsMessage(()), CREDITS) as it:
        completed = it.run()
        assert it.named() == [
            ("token", None),
            ("create_interaction", None),
            ("token", None),
            ("connect", None),
            ("stream", None),
        ]
        notes = {event.name: dict(event.attributes or {}) for event in it.spans()[-1].events}
    assert (completed.credits, len(completed.segments)) == (0.25, 1)
    assert notes["usage"] == {"corti.credits": 0.25}
    assert notes["ended"] == {
        "corti.transcripts": 1,
        "corti.facts": 1,
        "corti.audio_seconds": 0.625,
        "corti.audio_bytes": 20,
        "corti.warnings": 1,
    }
    assert it.world.nothing_is_left_open()


@pytest.mark.parametrize(
    ("step", "span"), [("create", "create_interaction"), ("open", "connect"), ("stream", "stream")]
)
def test_a_step_that_fails_shows_its_reason_and_leaves_nothing_open(step: str, span: str) -> None:
    with bench(SAID) as it:
        it.world.service.breaks(step, DENIED)
        with pytest.raises(JobError):
            it.run()
        assert it.named()[-1] == (span, "config_denied")
        assert trace.current() is None
    assert it.world.nothing_is_left_open()


def test_a_refused_token_is_noted_and_another_one_used() -> None:
    with bench() as it:
        it.world.service.breaks("open", TokenRefused("HTTP 401"))
        with it.tracer.span("job"):
            it.run()
        job = it.spans()[-1]
        assert ("connect", "auth_rejected") in it.named()
    assert [event.name for event in job.events] == ["token_refused"]


def test_an_interaction_is_looked_for_within_a_span() -> None:
    with bench() as it:
        interactions = TracedInteractions(it.world.service, it.tracer)
        made = interactions.create(JOB, it.world.auth.get())
        assert interactions.find(JOB, it.world.auth.get()) == made
        assert it.named() == [("create_interaction", None), ("find_interaction", None)]


def test_a_result_is_published_within_a_span() -> None:
    with bench() as it:
        publisher = TracedPublisher(it.world.publisher, it.tracer, "corti.results")
        event = World()
        event.run(json.dumps(SMALLEST).encode())
        sent = event.publisher.events[-1][0]
        publisher.deliver(OutboxEntry("visit-17", "completed", COMPLETED, sent.to_json(), None, None))
        publisher.publish_dead_letter(_letter(it.world.clock.wall))
        assert it.named() == [("publish corti.results", None)]
    assert it.world.publisher.types == [COMPLETED]
    assert len(it.world.publisher.letters) == 1


def _letter(now: Callable[[], object]) -> DeadLetter:
    return DeadLetter.of(
        b"x",
        reason=Reason.INVALID_JOB,
        detail="no job",
        queue="corti.jobs",
        received_at=now(),  # type: ignore[arg-type]
        dead_at=now(),  # type: ignore[arg-type]
    )
