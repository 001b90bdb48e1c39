"""What an attempt reports while it runs: the time that it still needs, and when its first segment came."""

import pytest

from tests.unit.examples import job
from tests.unit.jobs.test_transcribe import AWAY, FIRST, failed, transcribed
from tests.unit.jobs.world import World
from worker.concurrency.interrupt import Interrupted, InterruptReason
from worker.contract.events import Data
from worker.jobs.transcribe import Attempt, AttemptObserver


def test_the_remaining_time_is_that_of_the_remaining_audio_at_its_pace() -> None:
    world, left = World(), list[float | None]()
    world.library.total_seconds = 0.625
    world.service.during = lambda: left.append(world.interrupt.remaining())
    transcribed(world, job(pace=2.5))
    assert left == pytest.approx([0.625 / 2.5, 0.375 / 2.5, 0.125 / 2.5])
    assert world.interrupt.remaining() == 0


def test_after_a_broken_stream_the_remaining_time_is_unknown() -> None:
    """Otherwise a drain would wait for a job that has to begin anew."""
    world = World()
    world.library.total_seconds = 0.625
    world.service.breaks("stream", AWAY)
    assert failed(world) == AWAY
    assert world.interrupt.remaining() is None


def test_a_first_segment_counts_also_when_the_job_is_interrupted_before_it_has_taken_it() -> None:
    world, heard = World(FIRST), list[float | None]()

    class Listening(AttemptObserver):
        def heard(self, first: float | None) -> None:
            heard.append(first)

    def interrupted(_: Data) -> None:
        raise Interrupted(InterruptReason.DRAIN)

    attempt = Attempt(observer=Listening())
    with pytest.raises(Interrupted):
        world.transcriber.transcribe(job(events=["progress"]), attempt, world.interrupt, interrupted)
    assert heard == [0.0]


def test_with_audio_of_unknown_length_the_remaining_time_is_unknown() -> None:
    world = World()
    transcribed(world)
    assert world.interrupt.remaining() is None


def test_an_interrupted_job_opens_no_stream() -> None:
    world = World()
    world.interrupt.trigger(InterruptReason.CLAIM_LOST)
    with pytest.raises(Interrupted):
        world.transcriber.transcribe(job(), Attempt(), world.interrupt, lambda _: None)
    assert world.nothing_is_left_open()
    assert world.service.streamed == []
