"""While audio flows, a conversation seldom asks its session, but it must meet every deadline."""

from collections.abc import Callable

import pytest

from tests.unit.corti.stage import QUARTER, Stage

SILENT = 1 << 30  # bytes of audio before the service sends a segment: none before the end


def streaming(seconds: float) -> Stage:
    """An accepted stream with so many seconds of audio ready; the service sends nothing before the end."""
    stage = Stage(every=SILENT).accepted()
    stage.conversation.feed([QUARTER] * int(seconds * 4))
    return stage


def until(stage: Stage, happened: Callable[[], bool]) -> float:
    """Turn until something has happened; return when that was."""
    while not happened():
        assert stage.turn(), "nothing will be due any more"
    return stage.now


def test_a_ping_goes_out_in_time_while_audio_flows() -> None:
    stage = streaming(30)
    assert until(stage, lambda: stage.service.pings == 1) == 70.0
    assert len(stage.sent_at) == 81


def test_a_pong_puts_the_next_ping_off_while_audio_flows() -> None:
    stage = streaming(60)
    until(stage, lambda: stage.service.pings == 1)
    assert until(stage, lambda: stage.service.pings == 2) == 90.0
    assert stage.conversation.session.failure is None


def test_a_service_that_died_is_noticed_in_time_while_audio_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = streaming(60)
    monkeypatch.setattr(stage, "exchange", lambda: None)
    assert until(stage, lambda: stage.conversation.done) == 80.0
    assert str(stage.conversation.session.failure) == "stream_silent: the service gave no sign of life"
    assert stage.sent_at[-1] == 79.75


def test_what_the_service_says_between_two_chunks_moves_its_deadline() -> None:
    stage = Stage(every=8000).accepted()
    stage.conversation.feed([QUARTER] * 120)
    assert until(stage, lambda: len(stage.sent_at) == 119) == 79.5
    assert stage.service.pings == 0, "a ping was sent although the service answered each chunk"


def test_a_chunk_with_nothing_else_due_costs_no_look_at_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = streaming(10)
    looks: list[float] = []
    monkeypatch.setattr(stage.conversation.session, "tick", looks.append)
    until(stage, lambda: len(stage.sent_at) == 40)
    assert looks == []


def test_a_chunk_that_does_not_fit_the_socket_is_seen_at_once() -> None:
    stage = streaming(10)
    stage.sock.room = 8008 + 100
    until(stage, lambda: stage.conversation.transport.unsent > 0)
    assert len(stage.sent_at) == 2
    assert stage.conversation.next_due() == stage.conversation.session.deadline


def test_a_job_that_gives_up_is_seen_at_the_next_turn_and_nothing_more_is_sent() -> None:
    stage = streaming(10)
    until(stage, lambda: len(stage.sent_at) == 5)
    stage.conversation.abort()
    assert stage.turn()
    assert len(stage.sent_at) == 5
    assert stage.conversation.done
    assert stage.service.model.closed_with == 1000
    assert str(stage.conversation.session.failure) == "stream_interrupted: the job gave its stream up"


def test_audio_that_ends_between_two_deadlines_ends_the_stream_at_once() -> None:
    stage = streaming(1)
    stage.conversation.end_audio()
    # The last chunk is sent at 50.75, and its audio ends a quarter of a second later.
    assert until(stage, lambda: stage.conversation.done) == 51.0
    assert stage.conversation.session.failure is None
