"""The feed: it brings audio from its source to the pacer."""

import threading
from collections.abc import Iterator

import pytest

from tests.fakes import FakeClock
from tests.unit.corti.stage import QUARTER, Stage
from worker.concurrency.heartbeat import Heartbeat
from worker.contract.errors import Reason, TransientError
from worker.corti.stream import feed
from worker.corti.stream.conversation import Conversation
from worker.corti.stream.feed import Feed, Feeder, chunks_ahead
from worker.protocol.pace import Chunk
from worker.protocol.session import State


class Fed:
    """A conversation, its feed, and the conversations that the pacer was asked to look at."""

    def __init__(self, chunks: Iterator[Chunk], ahead: int = 4) -> None:
        self.stage = Stage().accepted()
        self.attended: list[Conversation] = []
        self.feed = Feed(self.stage.conversation, chunks, ahead, self.attended.append)

    @property
    def queued(self) -> int:
        return self.stage.conversation.queued


def quarters(count: int) -> Iterator[Chunk]:
    return iter([QUARTER] * count)


@pytest.mark.parametrize(
    ("speed", "seconds", "at_hand", "expected"),
    [
        (1, 0.25, True, (4, 1)),
        (1, 0.25, False, (8, 4)),
        (1, 0.02, True, (50, 12)),
        (1, 2, True, (2, 0)),
        (10, 0.25, False, (64, 32)),
        (0.1, 0.25, True, (2, 0)),
    ],
)
def test_audio_is_held_ready_for_a_second_or_for_two_from_a_network(
    speed: float, seconds: float, at_hand: bool, expected: tuple[int, int]
) -> None:
    assert chunks_ahead(seconds, speed, at_hand=at_hand) == expected


def test_a_feed_tops_up_and_never_beyond() -> None:
    fed = Fed(quarters(100))
    fed.feed.fill()
    assert fed.queued == 4
    fed.stage.turn()
    fed.feed.fill()
    assert fed.queued == 4


def test_the_end_of_the_audio_ends_the_stream() -> None:
    fed = Fed(quarters(3))
    fed.feed.fill()
    while fed.stage.turn():
        pass
    assert fed.stage.service.model.heard == 3 * 8000
    assert fed.stage.conversation.session.failure is None


def test_the_pacer_is_called_only_for_a_stream_that_ran_dry() -> None:
    fed = Fed(quarters(100), ahead=1)
    fed.feed.fill()
    assert not fed.attended
    fed.stage.turn()
    fed.stage.turn()
    assert fed.stage.conversation.starved
    fed.feed.fill()
    assert fed.attended == [fed.stage.conversation]


def test_an_error_of_the_source_waits_for_the_thread_of_the_job() -> None:
    def breaking() -> Iterator[Chunk]:
        yield QUARTER
        raise TransientError(Reason.AUDIO_UNREACHABLE, "the disk is gone")

    fed = Fed(breaking())
    fed.feed.fill()
    assert fed.stage.woken
    with pytest.raises(TransientError, match="the disk is gone"):
        fed.feed.check()


def test_a_feed_that_was_stopped_leaves_the_source_alone() -> None:
    fed = Fed(quarters(100))
    fed.feed.check()
    fed.feed.stop()
    fed.feed.fill()
    assert fed.queued == 0


def test_stopping_waits_for_a_fill_that_is_under_way() -> None:
    reading, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[Chunk]:
        reading.set()
        assert go_on.wait(5)
        yield QUARTER

    fed = Fed(slow(), ahead=1)
    filling = threading.Thread(target=fed.feed.fill)
    filling.start()
    assert reading.wait(5)
    stopping = threading.Thread(target=fed.feed.stop)
    stopping.start()
    stopping.join(0.05)
    assert stopping.is_alive()
    go_on.set()
    stopping.join(5)
    filling.join(5)
    assert not stopping.is_alive()


def test_a_job_leaves_a_source_that_never_returns_and_the_process_ends_without_it() -> None:
    reading, over = threading.Event(), threading.Event()

    def hanging() -> Iterator[Chunk]:
        reading.set()
        over.wait(60)
        yield QUARTER

    fed, left = Fed(hanging()), threading.Event()

    def job() -> None:
        with Feeder(Heartbeat(FakeClock())) as feeder, feeder.feeding(fed.feed):
            feeder.low(fed.feed, dry=True)
            assert reading.wait(5)
        fed.feed.stop()
        left.set()

    threading.Thread(target=job, daemon=True).start()
    assert left.wait(10), "the job still waits for the source"
    assert not over.is_set()
    over.set()


@pytest.mark.parametrize("dry", [False, True])
def test_the_shared_thread_fills_a_stream_that_runs_low(dry: bool) -> None:
    fed = Fed(quarters(100))
    with Feeder(Heartbeat(FakeClock())) as feeder, feeder.feeding(fed.feed):
        feeder.low(fed.feed, dry=dry)
        for _ in range(100):
            if fed.queued == 4:
                break
            threading.Event().wait(0.02)
    assert fed.queued == 4
    feeder.low(fed.feed, dry=dry)


def test_after_an_error_of_the_source_the_stream_is_not_ended_as_if_it_were_complete() -> None:
    def breaking() -> Iterator[Chunk]:
        yield from quarters(4)
        raise TransientError(Reason.AUDIO_UNREACHABLE, "the disk is gone")

    fed = Fed(breaking())
    fed.feed.fill()
    for _ in range(5):
        fed.stage.turn()
        fed.feed.fill()
    # A generator that has raised looks as if it were at its end. The stream must not end as if complete.
    assert fed.stage.conversation.starved
    assert fed.stage.conversation.session.state is State.STREAMING
    with pytest.raises(TransientError):
        fed.feed.check()


def test_a_stream_that_ran_dry_does_not_wait_for_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_PERIOD", 60.0)
    filled = threading.Event()

    def telling() -> Iterator[Chunk]:
        filled.set()
        yield from quarters(100)

    fed = Fed(telling())
    with Feeder(Heartbeat(FakeClock())) as feeder, feeder.feeding(fed.feed):
        # The feeder's thread was woken for the new stream; let it go back to sleep.
        threading.Event().wait(0.05)
        feeder.low(fed.feed, dry=False)
        assert not filled.wait(0.02)
        feeder.low(fed.feed, dry=True)
        assert filled.wait(5)


def test_when_a_stream_is_left_the_shared_thread_sleeps_again() -> None:
    fed = Fed(quarters(100))
    with Feeder(Heartbeat(FakeClock())) as feeder:
        with feeder.feeding(fed.feed):
            assert feeder._feeds == {fed.feed}
        assert feeder._feeds == set()
        feeder.low(fed.feed, dry=True)
        while feeder._low or feeder._poked.is_set():
            threading.Event().wait(0.001)
    assert fed.queued == 0
