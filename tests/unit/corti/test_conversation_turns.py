"""When the pacer has to drive a conversation next, and when the job's thread has to wake up."""

from tests.unit.corti.stage import QUARTER, Stage
from worker.protocol.pace import Chunk, Pace

SILENT = 1 << 30  # bytes of audio before the service sends a segment: none before the end


def test_an_accepted_stream_begins_at_once() -> None:
    stage = Stage().accepted()
    stage.conversation.feed([QUARTER])
    assert stage.conversation.next_due() <= stage.now


def test_before_acceptance_only_the_sessions_deadline_counts() -> None:
    stage = Stage()
    stage.conversation.feed([QUARTER])
    assert stage.conversation.next_due() == stage.conversation.session.deadline == 65.0


def test_a_chunk_that_lasts_longer_than_the_service_may_be_silent_waits_behind_the_ping() -> None:
    stage = Stage(speed=0.01, every=SILENT).accepted()
    stage.conversation.feed([QUARTER] * 2)
    stage.turn()
    # The next chunk is due in 25 s, but the service has only 20 s for a sign of life.
    assert stage.conversation.next_due() == 70.0
    stage.turn()
    assert stage.service.pings == 1
    assert stage.conversation.next_due() == 75.0


def test_a_job_that_wants_progress_is_woken_each_second_of_its_time() -> None:
    stage = Stage(live=True, every=SILENT).accepted()
    stage.conversation.feed([QUARTER] * 40)
    woken = [stage.turn() and stage.woken for _ in range(13)]
    assert [number for number, one in enumerate(woken, 1) if one] == [4, 8, 12]


def test_a_second_of_a_jobs_time_is_counted_at_its_own_speed() -> None:
    stage = Stage(speed=2.0, live=True, every=SILENT).accepted()
    stage.conversation.feed([QUARTER] * 40)
    woken = [stage.turn() and stage.woken for _ in range(17)]
    assert [number for number, one in enumerate(woken, 1) if one] == [8, 16]


def test_a_job_that_wants_no_progress_sleeps_until_audio_runs_low() -> None:
    stage = Stage(every=SILENT).accepted()
    stage.conversation.feed([QUARTER] * 40)
    assert not any(stage.turn() and stage.woken for _ in range(35))


def test_the_end_wakes_the_job_with_all_its_news() -> None:
    stage = Stage().accepted()
    stage.conversation.feed([QUARTER] * 2)
    stage.conversation.end_audio()
    while not stage.conversation.done:
        stage.turn()
    assert stage.woken
    assert len(stage.conversation.messages()) == 3


def test_a_conversation_that_is_closed_before_its_end_has_failed() -> None:
    stage = Stage().accepted()
    stage.conversation.close()
    assert stage.conversation.done
    assert stage.woken
    assert stage.sock.closed
    assert str(stage.conversation.session.failure) == (
        "stream_interrupted: the worker closed the stream before its end"
    )


def test_a_conversation_that_is_closed_after_its_end_has_not() -> None:
    stage = Stage().accepted()
    stage.conversation.end_audio()
    while stage.turn():
        pass
    stage.conversation.close()
    assert stage.conversation.session.failure is None


def test_nothing_is_sent_of_a_job_that_has_not_begun() -> None:
    stage = Stage().accepted()
    stage.conversation._pace = None
    stage.conversation.feed([QUARTER])
    stage.attend()
    assert (stage.sent_at, stage.conversation.position) == ([], 0.0)
    assert stage.conversation.next_due() == stage.conversation.session.deadline
    stage.conversation.begin(Pace(1.0), 1, stage._on_low, live=False)
    stage.attend()
    assert stage.sent_at == [50.0]


def test_a_chunk_of_another_length_moves_the_next_one_by_its_own() -> None:
    stage = Stage(every=SILENT).accepted()
    stage.conversation.feed([Chunk(bytes(100), 0.01), Chunk(bytes(60_000), 1.5), QUARTER])
    for _ in range(3):
        stage.turn()
    assert [round(at - 50.0, 3) for at in stage.sent_at] == [0.0, 0.01, 1.51]
