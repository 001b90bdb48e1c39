"""The conversation of one stream: configuration, audio, end, and what each answer leads to."""

from collections.abc import Callable

import pytest

from tests.unit.protocol.session_steps import (
    ACCEPTED,
    ENDED,
    FACTS,
    SEND_CONFIGURATION,
    SEND_END,
    TRANSCRIPT,
    USAGE,
    Close,
    Played,
    State,
    configuring,
    ending,
    error,
    streaming,
)
from worker.contract.errors import PermanentError, Reason, TransientError
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage


def interruption() -> TransientError:
    """An error with which the caller gives the stream up."""
    return TransientError(Reason.STREAM_INTERRUPTED, "the service stopped taking audio")


def test_nothing_is_said_before_the_socket_is_open() -> None:
    session = Played()
    assert (session.state, session.commands(), session.deadline) == (State.CONNECTING, [], None)
    assert not session.may_send_audio


def test_the_configuration_goes_out_first_and_once() -> None:
    session = Played()
    session.opened(session.now)
    session.opened(session.now + 1)
    assert session.commands() == [SEND_CONFIGURATION]
    assert session.commands() == []
    assert (session.state, session.may_send_audio) == (State.CONFIGURING, False)


@pytest.mark.parametrize("kind", ["CONFIG_ACCEPTED", "config_accepted", "CONFIG_ALREADY_RECEIVED"])
def test_audio_may_go_out_from_acceptance_to_our_end(kind: str) -> None:
    session = configuring()
    session.hears({"type": kind, "configuration": {"transcription": {}}})
    assert session.state is State.STREAMING
    assert session.may_send_audio
    session.audio_ended(session.now)
    assert (session.state, session.may_send_audio) == (State.ENDING, False)
    assert session.commands() == [SEND_END]


@pytest.mark.parametrize(
    ("kind", "reason", "error_class"),
    [
        ("CONFIG_DENIED", "config_denied", PermanentError),
        ("CONFIG_REJECTED", "config_denied", PermanentError),
        ("CONFIG_OF_NEXT_YEAR", "config_denied", PermanentError),
        ("CONFIG_MISSING", "config_timeout", TransientError),
        ("CONFIG_NOT_PROVIDED", "config_timeout", TransientError),
        ("CONFIG_TIMEOUT", "config_timeout", TransientError),
        ("CONFIG-TIMEOUT", "config_timeout", TransientError),
        ("config_timeout", "config_timeout", TransientError),
    ],
)
def test_any_other_answer_to_the_configuration_is_a_refusal(
    kind: str, reason: str, error_class: type[Exception]
) -> None:
    session = configuring()
    session.hears({"type": kind, "reason": "Ada's language is not available"})
    assert session.outcome == reason
    assert type(session.failure) is error_class
    assert "Ada" not in str(session.failure)
    assert session.commands() == [Close()]


@pytest.mark.parametrize(
    "kind", ["CONFIG_ALREADY_RECEIVED", "CONFIG_ACCEPTED", "CONFIG_DENIED", "CONFIG_TIMEOUT"]
)
def test_a_status_of_the_configuration_after_its_acceptance_changes_nothing(kind: str) -> None:
    for session in streaming(), ending():
        before = session.state
        session.hears({"type": kind})
        assert (session.state, session.commands(), session.failure) == (before, [], None)


def test_what_the_service_says_is_handed_on_in_order_and_once() -> None:
    session = streaming()
    session.hears(TRANSCRIPT, "junk", FACTS, {"type": "flushed"}, USAGE)
    kinds = [type(message) for message in session.messages()]
    assert kinds == [TranscriptMessage, FactsMessage, Usage]
    assert session.messages() == []


def test_content_is_taken_in_every_state_of_an_open_socket() -> None:
    for session in configuring(), streaming(), ending():
        session.hears(TRANSCRIPT)
        assert len(session.messages()) == 1


def test_what_came_with_the_end_can_still_be_taken_after_it() -> None:
    session = ending()
    session.hears(TRANSCRIPT, FACTS, USAGE, ENDED)
    assert len(session.messages()) == 3


def test_nothing_is_taken_from_a_closed_session_or_before_it_is_open() -> None:
    session = ending()
    session.hears(ENDED, TRANSCRIPT)
    unopened = Played()
    unopened.hears(TRANSCRIPT, ACCEPTED, ENDED)
    for one in session, unopened:
        assert one.messages() == []
    assert unopened.state is State.CONNECTING


@pytest.mark.parametrize("kind", ["ENDED", "ended", "Ended"])
def test_the_end_is_good_after_ours_and_closes(kind: str) -> None:
    session = ending()
    session.hears({"type": kind})
    assert session.outcome == "good end"
    assert session.commands() == [Close()]
    assert session.deadline is None


def test_an_end_before_ours_is_an_interruption() -> None:
    for session in configuring(), streaming():
        session.hears(TRANSCRIPT, ENDED)
        assert session.outcome == "stream_interrupted"
        assert isinstance(session.failure, TransientError)


def test_the_end_of_audio_is_told_once_and_only_while_streaming() -> None:
    for session in Played(), configuring():
        session.audio_ended(session.now)
        assert session.commands() == []
    session = ending()
    session.audio_ended(session.now)
    assert session.commands() == []


@pytest.mark.parametrize(
    ("reached", "code", "reason"),
    [
        (Played, None, "stream_interrupted"),
        (configuring, None, "config_timeout"),
        (configuring, 1000, "config_timeout"),
        (streaming, 1000, "stream_interrupted"),
        (streaming, 1011, "stream_interrupted"),
        (streaming, None, "stream_interrupted"),
        (ending, 1000, "stream_interrupted"),
        (ending, 1006, "stream_interrupted"),
    ],
)
def test_a_close_without_ended_is_worth_another_attempt(
    reached: Callable[[], Played], code: int | None, reason: str
) -> None:
    session = reached()
    session.loses_its_socket(code)
    assert session.outcome == reason
    assert isinstance(session.failure, TransientError)


@pytest.mark.parametrize(
    ("code", "detail"), [(1000, "closed the stream without ENDED"), (1011, "was lost in mid-")]
)
def test_a_polite_close_and_a_lost_connection_are_told_apart(code: int, detail: str) -> None:
    session = streaming()
    session.loses_its_socket(code)
    assert detail in str(session.failure)


def test_a_close_after_the_good_end_is_no_failure() -> None:
    session = ending()
    session.hears(ENDED)
    session.loses_its_socket(1000)
    session.lost(interruption())
    assert session.outcome == "good end"


def test_the_first_failure_is_the_one_that_counts() -> None:
    session = configuring()
    session.hears({"type": "CONFIG_DENIED"})
    session.loses_its_socket(1000)
    session.hears(ENDED, error())
    assert session.later(1000) == [Close()]
    assert session.outcome == "config_denied"


def test_the_caller_can_give_a_stream_up() -> None:
    session = streaming()
    failure = interruption()
    session.lost(failure)
    assert session.failure is failure
    assert (session.state, session.commands()) == (State.CLOSED, [Close()])
