"""Properties of a session that hold for any events in any order."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.session_steps import (
    ACCEPTED,
    ENDED,
    FACTS,
    SEND_CONFIGURATION,
    SEND_END,
    TRANSCRIPT,
    USAGE,
    Played,
    State,
    error,
)
from worker.contract.errors import Reason, TransientError
from worker.protocol.session import Close, Command, Ping

CONTENT = [json.dumps(message) for message in (TRANSCRIPT, FACTS, USAGE)]
TEXTS = [
    *CONTENT,
    *(json.dumps(message) for message in (ACCEPTED, ENDED, error(), error("audio-invalid", 400))),
    '{"type": "CONFIG_DENIED"}',
    '{"type": "CONFIG_ALREADY_RECEIVED"}',
    '{"type": "flushed"}',
    "junk",
    "\x00",
]
ALLOWED = {
    State.CONNECTING: {State.CONNECTING, State.CONFIGURING, State.CLOSED},
    State.CONFIGURING: {State.CONFIGURING, State.STREAMING, State.CLOSED},
    State.STREAMING: {State.STREAMING, State.ENDING, State.CLOSED},
    State.ENDING: {State.ENDING, State.CLOSED},
    State.CLOSED: {State.CLOSED},
}
Step = Callable[[Played], None]


def passing(seconds: float) -> Step:
    """A step that lets time pass."""

    def step(session: Played) -> None:
        session.now += seconds
        session.tick(session.now)

    return step


steps: st.SearchStrategy[Step] = st.one_of(
    st.sampled_from(TEXTS).map(lambda text: lambda session: session.received(text, session.now)),
    st.binary(max_size=6).map(lambda data: lambda session: session.received(data, session.now)),
    st.sampled_from([0.0, 1.0, 11.0, 19.0, 130.0]).map(passing),
    st.sampled_from([None, 1000, 1006, 4000]).map(
        lambda code: lambda session: session.closed(code, session.now)
    ),
    st.sampled_from(
        [
            lambda session: session.opened(session.now),
            lambda session: session.alive(session.now),
            lambda session: session.audio_ended(session.now),
            lambda session: session.lost(TransientError(Reason.STREAM_INTERRUPTED, "given up")),
        ]
    ),
)
#: Steps before the random ones. Random steps alone hardly ever get past the configuration.
beginnings = st.sampled_from([0, 0, 1, 2, 3])


def begun(progress: int) -> Played:
    """A session after so many valid steps: opened, accepted, audio ended."""
    session = Played()
    if progress > 0:
        session.opened(session.now)
    if progress > 1:
        session.hears(ACCEPTED)
    if progress > 2:
        session.audio_ended(session.now)
    return session


@given(beginnings, st.lists(steps, max_size=25))
def test_no_order_of_events_breaks_a_session(progress: int, life: list[Step]) -> None:
    session = begun(progress)
    commands: list[Command] = session.commands()
    states = [session.state]
    failures = [session.failure]
    for step in life:
        step(session)
        states.append(session.state)
        failures.append(session.failure)
        commands += session.commands()
        assert session.commands() == []
        assert (session.deadline is None) == (session.state in {State.CONNECTING, State.CLOSED})
        assert session.may_send_audio == (session.state is State.STREAMING)
    for before, after in pairwise(states):
        assert after in ALLOWED[before]
    for earlier, later in pairwise(failures):
        assert earlier is None or later is earlier
    assert session.failure is None or session.state is State.CLOSED
    given_out = Counter(map(repr, commands))
    assert given_out[repr(SEND_CONFIGURATION)] <= 1
    assert given_out[repr(SEND_END)] <= 1
    assert given_out[repr(Close())] == (session.state is State.CLOSED)
    if Close() in commands:
        assert commands[-1] == Close()
    if commands and commands != [Close()]:
        assert commands[0] == SEND_CONFIGURATION


@given(beginnings, st.lists(st.sampled_from(TEXTS), max_size=12))
def test_every_piece_of_content_before_the_end_is_handed_out_once(progress: int, texts: list[str]) -> None:
    session = begun(progress)
    expected = taken = 0
    for text in texts:
        expected += text in CONTENT and session.state not in {State.CONNECTING, State.CLOSED}
        session.received(text, session.now)
        taken += len(session.messages())
    assert taken == expected


@given(beginnings.filter(bool), st.lists(st.sampled_from([0.0, 0.1, 7.0, 60.0]), max_size=10))
def test_a_tick_at_each_deadline_leads_to_an_end(progress: int, delays: list[float]) -> None:
    # The service sends nothing and the caller may call late: the session must not wait for ever.
    session = begun(progress)
    session.commands()
    commands: list[Command] = []
    for delay in [*delays, *[0.0] * 4]:
        if session.deadline is not None:
            session.now = max(session.now, session.deadline) + delay
            session.tick(session.now)
            commands += session.commands()
    assert session.state is State.CLOSED
    assert commands in ([Close()], [Ping(), Close()])
