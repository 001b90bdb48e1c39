"""Spans: their parents, kinds and attributes, and that no exception's text gets into them."""

from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from worker.concurrency.interrupt import Interrupted, InterruptReason
from worker.contract.errors import PermanentError, Reason
from worker.telemetry import trace
from worker.telemetry.otel import OtelTracer

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = PARENT[:-1] + "0"

Recorded = Callable[[], dict[str, ReadableSpan]]


@pytest.fixture
def recorded() -> Iterator[tuple[OtelTracer, Recorded]]:
    exporter = InMemorySpanExporter()
    tracer = OtelTracer("redis", exporter)

    def spans() -> dict[str, ReadableSpan]:
        tracer._provider.force_flush()
        return {span.name: span for span in exporter.get_finished_spans()}

    yield tracer, spans
    tracer.close()


def test_spans_are_the_producers_children(recorded: tuple[OtelTracer, Recorded]) -> None:
    tracer, spans = recorded
    with tracer.span("process corti.work", kind="consumer", parent=PARENT, job_id="visit-17"):
        tracer.note("attempt_failed", reason="expired", attempt=1)
        with tracer.span("token"):
            inner = trace.current()
    outer, token = spans()["process corti.work"], spans()["token"]
    assert outer.parent is not None
    assert token.parent is not None
    assert f"{outer.parent.span_id:016x}" == PARENT[36:52]
    assert outer.parent.is_remote
    assert token.parent.span_id == outer.context.span_id
    assert inner == f"00-{PARENT[3:35]}-{token.context.span_id:016x}-01"
    assert (outer.kind, token.kind) == (SpanKind.CONSUMER, SpanKind.INTERNAL)
    assert outer.attributes == {
        "corti.job_id": "visit-17",
        "messaging.system": "redis",
        "messaging.operation.name": "process",
        "messaging.destination.name": "corti.work",
    }
    assert [(one.name, dict(one.attributes or {})) for one in outer.events] == [
        ("attempt_failed", {"corti.reason": "expired", "corti.attempt": 1})
    ]
    assert outer.resource.attributes["service.name"] == "corti-worker"
    assert trace.current() is None


def test_without_a_parent_a_trace_begins(recorded: tuple[OtelTracer, Recorded]) -> None:
    tracer, spans = recorded
    with tracer.span("one", parent="nonsense"):
        begun = trace.trace_id()
    span = spans()["one"]
    assert span.parent is None
    assert begun == f"{span.context.trace_id:032x}"


def test_an_unsampled_trace_records_no_span(recorded: tuple[OtelTracer, Recorded]) -> None:
    tracer, spans = recorded
    with tracer.span("one", parent=UNSAMPLED):
        passed_on = trace.current()
    assert spans() == {}
    assert passed_on is not None
    assert (passed_on[3:35], passed_on[-2:]) == (UNSAMPLED[3:35], "00")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (PermanentError(Reason.EXPIRED, "its time has passed"), "expired"),
        (Interrupted(InterruptReason.CLAIM_LOST), "claim_lost"),
        (ValueError("Ada Example"), "ValueError"),
        (KeyboardInterrupt("Ada Example"), "KeyboardInterrupt"),
    ],
)
def test_an_exception_shows_as_its_code_or_class(
    recorded: tuple[OtelTracer, Recorded], error: BaseException, shown: str
) -> None:
    tracer, spans = recorded
    with pytest.raises(type(error)), tracer.span("one"):
        raise error
    span = spans()["one"]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, shown)
    assert span.events == ()
    assert "Ada" not in span.to_json()


def test_the_standard_variables_name_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "transcription-ward-7")
    exporter = InMemorySpanExporter()
    tracer = OtelTracer("redis", exporter)
    with tracer.span("one"):
        pass
    tracer.close()
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == "transcription-ward-7"
