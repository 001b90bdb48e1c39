"""An `error` message may be fatal or not: what follows it decides what it means."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.protocol.session_steps import (
    ENDED,
    FACTS,
    TRANSCRIPT,
    USAGE,
    Played,
    State,
    configuring,
    ending,
    error,
    streaming,
)
from worker.contract.errors import PermanentError, TransientError


def test_an_error_by_itself_changes_nothing_but_is_remembered() -> None:
    session = streaming()
    session.hears(error("stalled"), TRANSCRIPT)
    assert (session.state, session.failure) == (State.STREAMING, None)
    assert session.may_send_audio
    session.hears(error("again"), error("Ada was here"))
    assert list(session.warnings) == ["stream error stalled", "stream error again", "stream error unknown"]


@pytest.mark.parametrize("content", [TRANSCRIPT, FACTS])
def test_an_error_then_ended_after_our_end_is_good_when_something_was_heard(content: dict[str, Any]) -> None:
    session = ending()
    session.hears(content, error(), USAGE, ENDED)
    assert session.outcome == "good end"
    assert session.warnings == ("stream error audio-stalled",)


def test_an_error_then_ended_after_our_end_is_a_failure_when_nothing_was_heard() -> None:
    session = ending()
    session.hears(error("overload", 503), USAGE, ENDED)
    assert session.outcome == "stream_interrupted"


def test_an_error_then_ended_before_our_end_is_a_failure_whatever_was_heard() -> None:
    session = streaming()
    session.hears(TRANSCRIPT, error("overload", 503), ENDED)
    assert session.outcome == "stream_interrupted"


def test_an_end_with_nothing_heard_and_no_error_is_good_for_silence_is_no_fault() -> None:
    session = ending()
    session.hears(USAGE, ENDED)
    assert session.outcome == "good end"


@pytest.mark.parametrize(
    ("code", "status", "reason", "error_class"),
    [
        ("audio-invalid", 400, "audio_unsupported", PermanentError),
        ("AUDIO-INVALID", 500, "audio_unsupported", PermanentError),
        ("bad-request", 400, "stream_refused", PermanentError),
        ("forbidden", 403, "stream_refused", PermanentError),
        ("unauthorised", 401, "stream_interrupted", TransientError),
        ("timeout", 408, "stream_interrupted", TransientError),
        ("early", 425, "stream_interrupted", TransientError),
        ("busy", 429, "stream_interrupted", TransientError),
        ("broken", 500, "stream_interrupted", TransientError),
        ("odd", 302, "stream_interrupted", TransientError),
    ],
)
def test_the_error_before_a_close_says_whether_to_try_again(
    code: str, status: int, reason: str, error_class: type[Exception]
) -> None:
    session = streaming()
    session.hears(error(code, status))
    session.loses_its_socket(1000)
    assert session.outcome == reason
    assert type(session.failure) is error_class


@pytest.mark.parametrize("reached", [configuring, streaming, ending])
def test_an_error_explains_a_lost_socket_in_every_state(reached: Callable[[], Played]) -> None:
    session = reached()
    session.hears(error("audio-invalid"))
    session.loses_its_socket()
    assert session.outcome == "audio_unsupported"


@pytest.mark.parametrize("reached", [configuring, ending])
def test_an_error_explains_a_deadline_that_passed(reached: Callable[[], Played]) -> None:
    session = reached()
    session.hears(error("bad-request", 400))
    for _ in range(12):
        session.alive(session.now)
        session.later(10)
    assert session.outcome == "stream_refused"


def test_an_error_without_a_status_is_worth_another_attempt() -> None:
    session = streaming()
    session.hears({"type": "error", "error": {"title": "Ada Example"}})
    session.loses_its_socket(1011)
    assert session.outcome == "stream_interrupted"
    assert "Ada" not in f"{session.failure} {session.warnings}"


def test_a_service_that_tells_errors_without_end_fills_neither_memory_nor_result() -> None:
    session = streaming()
    for number in range(5_000):
        session.hears(error(f"e{number}"))
    assert session.warnings == (*(f"stream error e{number}" for number in range(20)), "and 4980 more")
