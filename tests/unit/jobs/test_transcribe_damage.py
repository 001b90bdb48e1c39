"""Audio that cannot be read as it is: the next attempt converts it."""

import pytest

from tests.unit.examples import job
from tests.unit.jobs.test_transcribe import failed, transcribed
from tests.unit.jobs.world import World
from worker.contract.errors import PermanentError, Reason, TransientError
from worker.jobs.transcribe import Attempt

UNREADABLE = PermanentError(Reason.AUDIO_UNSUPPORTED, "the service cannot read the audio")
DAMAGED = TransientError(Reason.AUDIO_DAMAGED, "a part of the audio cannot be read")


@pytest.mark.parametrize("error", [UNREADABLE, DAMAGED], ids=["by the service", "by the worker"])
def test_audio_that_cannot_be_read_as_it_is_gets_another_attempt_that_converts(error: Exception) -> None:
    world, attempt = World(), Attempt()
    world.library.convertible = True
    world.service.breaks("stream", error)
    failure = failed(world, attempt)
    assert isinstance(failure, TransientError)
    assert (failure.reason, failure.retry_after) == (Reason.AUDIO_DAMAGED, 0.0)
    assert attempt.convert
    transcribed(world, job(), attempt)
    assert world.library.converted == [False, True]


def test_audio_that_was_converted_is_not_tried_a_third_time() -> None:
    world, attempt = World(), Attempt(convert=True)
    world.library.convertible = True
    world.service.breaks("stream", UNREADABLE)
    assert failed(world, attempt) is UNREADABLE


def test_audio_that_is_pcm_already_is_not_converted() -> None:
    world, attempt = World(), Attempt()
    world.service.breaks("stream", UNREADABLE)
    assert failed(world, attempt) is UNREADABLE
    assert not attempt.convert


@pytest.mark.parametrize("reason", [Reason.AUDIO_UNREACHABLE, Reason.STREAM_INTERRUPTED])
def test_other_failures_convert_nothing(reason: Reason) -> None:
    world, attempt = World(), Attempt()
    world.library.convertible = True
    error = TransientError(reason, "away")
    world.service.breaks("stream", error)
    assert failed(world, attempt) is error
    assert not attempt.convert


def test_what_is_to_be_said_of_the_audio_is_in_the_result() -> None:
    world = World()
    world.library.said = ("the audio is truncated",)
    result, _ = transcribed(world)
    assert "the audio is truncated" in result.warnings
