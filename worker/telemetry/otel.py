"""Spans recorded by OpenTelemetry and sent by OTLP over HTTP, as its standard variables say.

Only what we name goes into a span: static names, codes, numbers, ids of ours. Exceptions are recorded as
their reason code or their class, never as their text: that may hold anything.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import NonRecordingSpan

from worker import __version__
from worker.concurrency.interrupt import Interrupted
from worker.contract.errors import JobError
from worker.telemetry import trace
from worker.telemetry.trace import Kind, Value

_KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "consumer": SpanKind.CONSUMER,
    "producer": SpanKind.PRODUCER,
    "client": SpanKind.CLIENT,
}
_FLUSH_MS = 2000


class OtelTracer:
    """Implements `worker.telemetry.trace.Tracer`.

    Args:
        system: The broker, as `messaging.system` names it: `redis` or `rabbitmq`.
        exporter: Where spans go instead of the OTLP endpoint.
    """

    def __init__(self, system: str, exporter: SpanExporter | None = None) -> None:
        ours = Resource.create({"service.name": "corti-worker", "service.version": __version__})
        # Merged once more, so that OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
        resource = ours.merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("corti-worker", __version__)
        self._system = system

    @contextmanager
    def span(
        self, name: str, *, kind: Kind = "internal", parent: str | None = None, **attributes: Value
    ) -> Iterator[None]:
        """See `worker.telemetry.trace.Tracer`."""
        given = {f"corti.{key}": value for key, value in attributes.items()}
        if kind in {"consumer", "producer"}:
            operation, _, queue = name.partition(" ")
            given |= {
                "messaging.system": self._system,
                "messaging.operation.name": operation,
                "messaging.destination.name": queue,
            }
        context = api.set_span_in_context(_remote(parent or trace.current()))
        span = self._tracer.start_span(name, context, kind=_KINDS[kind], attributes=given)
        try:
            with (
                api.use_span(span, record_exception=False, set_status_on_exception=False),
                trace.within(_traceparent(span.get_span_context())),
            ):
                yield
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, _reason(error)))
            raise
        finally:
            span.end()

    def note(self, name: str, **attributes: Value) -> None:
        """See `worker.telemetry.trace.Tracer`."""
        api.get_current_span().add_event(name, {f"corti.{key}": value for key, value in attributes.items()})

    def close(self) -> None:
        """Send the spans that wait, for `_FLUSH_MS` at the most, and stop."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()


def _reason(error: BaseException) -> str:
    if isinstance(error, JobError):
        return error.reason.value
    return error.reason.name.lower() if isinstance(error, Interrupted) else type(error).__name__


def _remote(traceparent: str | None) -> NonRecordingSpan:
    known = trace.valid(traceparent)
    if known is None:
        return NonRecordingSpan(api.INVALID_SPAN_CONTEXT)
    _, trace_id, span_id, flags = known.split("-")
    return NonRecordingSpan(
        SpanContext(
            int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
        )
    )


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
