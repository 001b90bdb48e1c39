"""The trace that work belongs to: it is passed on unchanged, and never to other work."""

import threading

import pytest

from worker.telemetry import trace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def test_work_belongs_to_the_innermost_trace() -> None:
    assert (trace.current(), trace.trace_id(), trace.headers()) == (None, None, {})
    with trace.within(PARENT):
        with trace.within(OTHER):
            assert trace.current() == OTHER
        with trace.within(None):
            assert trace.trace_id() == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert trace.headers() == {"traceparent": PARENT}
    assert trace.current() is None


def test_a_trace_ends_with_an_exception_too() -> None:
    with pytest.raises(ValueError, match="x"), trace.within(PARENT):
        raise ValueError("x")
    assert trace.current() is None


def test_threads_have_traces_of_their_own() -> None:
    seen: list[str | None] = []
    with trace.within(PARENT):
        thread = threading.Thread(target=lambda: seen.append(trace.current()))
        thread.start()
        thread.join()
    assert seen == [None]


@pytest.mark.parametrize(
    "text", ["", "00", PARENT.upper(), f"{PARENT}-01", f" {PARENT}", f"{PARENT}\n", b"x", 7, None, {"a": 1}]
)
def test_a_malformed_traceparent_is_none(text: object) -> None:
    assert trace.valid(text) is None


def test_a_traceparent_is_valid() -> None:
    assert trace.valid(PARENT) == PARENT


def test_the_untraced_pass_the_parent_on_and_keep_nothing() -> None:
    tracer = trace.Untraced()
    with tracer.span("a", parent=PARENT, number=1), tracer.span("b"):
        tracer.note("c", reason="x")
        assert trace.current() == PARENT
    assert trace.current() is None
