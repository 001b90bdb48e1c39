"""What a session waits for, how long, and when its caller has to call `tick`."""

import json
from collections.abc import Callable

import pytest

from tests.unit.protocol.session_steps import (
    ACCEPTED,
    CONFIGURATION,
    ENDED,
    TRANSCRIPT,
    USAGE,
    Close,
    Ping,
    Played,
    configuring,
    ending,
    streaming,
)
from worker.protocol.session import Session, Timings


def test_the_answer_to_the_configuration_has_its_time_whatever_else_arrives() -> None:
    session = configuring()
    assert session.deadline == session.now + 15
    assert session.later(14.9) == []
    session.hears("junk", {"type": "flushed"})
    assert session.later(0.1) == [Close()]
    assert session.outcome == "config_timeout"


def test_an_accepted_configuration_has_no_deadline_any_more() -> None:
    session = configuring()
    session.later(14.9)
    session.hears(ACCEPTED)
    assert session.later(1) == []
    assert session.outcome == "streaming"


@pytest.mark.parametrize("reached", [streaming, ending])
def test_silence_brings_one_ping_and_more_silence_the_end(reached: Callable[[], Played]) -> None:
    session = reached()
    assert session.deadline == session.now + 20
    assert session.later(19.9) == []
    assert session.later(0.1) == [Ping()]
    assert session.deadline == session.now + 10
    assert session.later(9.9) == []
    assert session.later(0.1) == [Close()]
    assert session.outcome == "stream_silent"


def test_the_first_thing_after_long_silence_is_a_ping_before_acceptance_too() -> None:
    session = Session(CONFIGURATION, Timings(config=60, ping=20, pong=10, end=120))
    session.opened(100.0)
    assert session.deadline == 120.0
    session.tick(120.0)
    assert session.commands()[1:] == [Ping()]


def test_any_sign_of_life_answers_the_ping() -> None:
    session = streaming()
    assert session.later(20) == [Ping()]
    session.alive(session.now + 5)
    assert session.deadline == session.now + 25
    assert session.later(24.9) == []
    assert session.later(0.1) == [Ping()]
    session.hears("junk")
    assert session.later(19.9) == []


def test_the_end_is_waited_for_anew_after_each_message_of_any_kind() -> None:
    session = ending()
    for text in json.dumps(TRANSCRIPT), json.dumps(USAGE), '{"type": "flushed"}', "junk":
        for _ in range(11):
            session.later(10)
            session.alive(session.now)
        assert session.outcome == "ending"
        session.hears(text)
    for _ in range(11):
        session.later(10)
        session.alive(session.now)
    assert session.later(10) == [Close()]
    assert session.outcome == "stream_silent"


def test_a_pong_shows_that_the_service_lives_but_not_that_it_ends() -> None:
    session = ending()
    for _ in range(12):
        session.later(10)
        session.alive(session.now)
    assert session.outcome == "stream_silent"


def test_the_deadline_is_whatever_comes_first() -> None:
    session = configuring()
    assert session.deadline == session.now + 15
    session.hears(ACCEPTED)
    assert session.deadline == session.now + 20
    session.now += 3
    session.audio_ended(session.now)
    assert session.deadline == session.now - 3 + 20


def test_a_late_tick_does_once_what_was_due() -> None:
    session = streaming()
    assert session.later(1000) == [Ping()]
    assert session.later(0) == [Close()]


def test_a_tick_that_comes_early_does_nothing() -> None:
    for session in Played(), configuring(), streaming(), ending():
        assert session.later(0) == []


def test_there_is_nothing_to_wait_for_once_it_is_over() -> None:
    session = ending()
    session.hears(ENDED)
    session.commands()
    assert session.deadline is None
    assert session.later(1000) == []
    assert session.outcome == "good end"
