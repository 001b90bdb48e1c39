"""A stream as the pacer drives it, on a socket in memory and with time as an argument."""

import pytest

from tests.unit.corti.stage import QUARTER, Stage
from worker.corti.stream.conversation import PILE
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage


def test_the_configuration_goes_out_when_the_pacer_takes_over() -> None:
    stage = Stage()
    stage.service.turn()
    assert stage.service.model.configuration is not None
    assert not stage.sent_at


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_a_whole_consultation_keeps_its_pace_and_comes_to_a_good_end(speed: float) -> None:
    stage = Stage(speed=speed).accepted()
    stage.conversation.feed([QUARTER] * 9)
    stage.conversation.end_audio()
    while stage.turn():
        pass
    conversation = stage.conversation
    assert stage.sent_at == pytest.approx([50.0 + number * 0.25 / speed for number in range(9)])
    assert conversation.done
    assert conversation.session.failure is None
    assert (conversation.position, conversation.bytes_sent) == (2.25, 72_000)
    kinds = [type(message) for message in conversation.messages()]
    assert kinds == [TranscriptMessage] * 5 + [FactsMessage, Usage]
    assert conversation.messages() == []
    assert stage.service.model.closed_with == 1000
    conversation.close()
    assert stage.sock.closed


def test_a_late_pacer_catches_up_without_drifting() -> None:
    stage = Stage().accepted()
    stage.conversation.feed([QUARTER] * 8)
    assert stage.turn(late=0.01)
    assert stage.turn(late=0.7)
    assert [round(at - 50.0, 3) for at in stage.sent_at] == [0.01, 0.95, 0.95, 0.95]
    stage.turn()
    assert round(stage.sent_at[-1] - 50.0, 3) == 1.0
    assert [round(late, 3) for late in stage.lateness] == [0.01, 0.7, 0.45, 0.2, 0.0]


def test_audio_that_runs_out_wakes_the_job_and_goes_on_when_it_comes() -> None:
    stage = Stage().accepted()
    stage.conversation.feed([QUARTER])
    stage.turn()
    stage.turn()
    assert stage.conversation.starved
    assert (stage.woken, stage.dry) == (True, 1)
    assert stage.conversation.next_due() == stage.conversation.session.deadline
    stage.now += 5.0
    stage.conversation.feed([QUARTER] * 2)
    stage.attend()
    stage.turn()
    # The schedule has moved: audio that came late is not sent faster than real time.
    assert stage.sent_at == [50.0, 55.25, 55.5]


def test_the_job_is_woken_when_half_of_what_it_holds_ready_is_gone() -> None:
    stage = Stage().accepted()
    assert stage.ahead == 8
    stage.conversation.feed([QUARTER] * stage.ahead)
    woken = [stage.turn() and stage.woken for _ in range(5)]
    assert woken == [False, False, False, True, False]
    assert stage.conversation.queued == 3


@pytest.mark.parametrize(("live", "expected"), [(True, True), (False, False)])
def test_news_wake_a_job_only_when_it_wants_them_live(live: bool, expected: bool) -> None:
    stage = Stage(live=live).accepted()
    stage.conversation.feed([QUARTER] * stage.ahead)
    stage.turn()
    assert not stage.woken
    stage.turn()
    assert stage.woken is expected
    assert len(stage.conversation.messages()) == 1


def test_a_job_that_wants_no_news_live_is_woken_before_they_pile_up() -> None:
    stage = Stage(every=8000).accepted()
    stage.conversation.feed([QUARTER] * (2 * PILE + stage.ahead))
    # The service sends a message for each chunk, and audio is far from running low.
    woken = [stage.turn() and stage.woken for _ in range(PILE)]
    assert woken == [False] * (PILE - 1) + [True]
    assert len(stage.conversation.messages()) == PILE
    assert stage.turn()
    assert not stage.woken


def test_bytes_that_the_socket_does_not_accept_wait_and_arrive_whole() -> None:
    stage = Stage().accepted()
    stage.conversation.feed([QUARTER] * 3)
    stage.sock.room = 5000
    stage.turn()
    conversation = stage.conversation
    assert conversation.transport.unsent == 8008 - 5000
    assert conversation.next_due() == conversation.session.deadline
    while conversation.transport.unsent:
        stage.sock.room = 700
        conversation.writable(stage.now)
        stage.exchange()
    assert stage.service.model.heard == 8000
    stage.sock.room = 1 << 30
    while stage.turn() and stage.service.model.heard < 24_000:
        pass
    assert conversation.session.failure is None


def test_a_socket_that_accepts_nothing_any_more_ends_the_stream_and_no_bytes_pile_up() -> None:
    stage = Stage().accepted()
    stage.conversation.feed([QUARTER] * 8)
    stage.sock.room = 0
    while stage.turn():
        assert stage.conversation.transport.unsent < 2 * 8008
    assert str(stage.conversation.session.failure) == "stream_silent: the service gave no sign of life"
    assert stage.conversation.done
    assert stage.conversation.queued == 7


def test_a_connection_that_breaks_while_writing_ends_the_stream() -> None:
    stage = Stage().accepted()
    stage.conversation.feed([QUARTER])
    stage.sock.broken = True
    stage.attend()
    assert stage.conversation.finished(stage.now)
    assert (
        str(stage.conversation.session.failure) == "stream_interrupted: the connection was lost in mid-stream"
    )
    assert stage.woken
    stage.conversation.close()


@pytest.mark.parametrize("code", [1000, 1011, None])
def test_a_service_that_goes_away_ends_the_stream_at_once(code: int | None) -> None:
    stage = Stage().accepted()
    if code is None:
        stage.service.hang_up()
    else:
        stage.service.close(code)
    stage.conversation.readable(stage.now)
    assert stage.conversation.session.failure is not None
    assert stage.conversation.session.failure.reason == "stream_interrupted"
    assert stage.conversation.finished(stage.now)
    assert stage.woken


def test_a_silent_service_is_pinged_and_its_pong_counts() -> None:
    stage = Stage().accepted()
    stage.attend()
    assert stage.turn()
    assert (stage.now, stage.service.pings) == (70.0, 1)
    # The pacer looks when the pong would have been too late, and finds that it has arrived.
    assert stage.turn()
    assert (stage.now, stage.service.pings) == (80.0, 1)
    assert stage.conversation.next_due() == 90.0
    assert stage.conversation.session.failure is None


def test_a_job_that_gives_up_closes_its_stream_politely_and_waits_two_seconds_for_the_answer() -> None:
    stage = Stage().accepted()
    stage.conversation.feed([QUARTER])
    stage.conversation.abort()
    stage.attend()
    assert stage.conversation.done
    assert not stage.conversation.finished(stage.now + 1.9)
    assert stage.conversation.next_due() == stage.now + 2.0
    assert stage.conversation.finished(stage.now + 2.0)
    stage.service.turn()
    assert stage.service.model.closed_with == 1000
    assert stage.service.model.heard == 0


def test_a_service_that_answers_our_close_frees_the_socket_at_once() -> None:
    stage = Stage().accepted()
    stage.conversation.abort()
    stage.attend()
    stage.exchange()
    assert stage.conversation.finished(stage.now)


@pytest.mark.parametrize("live", [True, False])
def test_the_first_segment_is_dated_when_it_arrives_with_or_without_live_events(*, live: bool) -> None:
    """A job that wants no live events reads its messages in batches, perhaps only at the end."""
    stage = Stage(live=live, every=16_000).accepted()
    conversation = stage.conversation
    conversation.feed([QUARTER] * 20)
    conversation.end_audio()
    assert (conversation.opened_at, conversation.heard_at) == (50.0, None)
    while stage.turn():
        pass
    assert conversation.heard_at == pytest.approx(50.25)
    assert stage.now > 54
