"""One attempt at a job: token, interaction, audio, stream, fold."""

import json
from collections.abc import Callable

import pytest

from tests.unit.examples import fact, heard, job, segment
from tests.unit.jobs.world import World
from worker.concurrency.interrupt import Interrupted, InterruptReason
from worker.contract.errors import JobError, PermanentError, Reason, TokenRefused, TransientError
from worker.contract.events import Completed, Data, Facts, Progress, ResultAudio, Segments
from worker.contract.job import Job
from worker.jobs.ports import Interaction
from worker.jobs.transcribe import Attempt
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage

FIRST = TranscriptMessage((heard("it hurts", 1, 2, final=False),))
SECOND = TranscriptMessage((heard("It hurts.", 1, 2.5), heard("Where?", 3, 4)))
#: What events have of these: the smallest job names one participant, on channel 0.
INTERIM = (segment("it hurts", 1, 2, final=False, role="multiple"),)
FINAL = (segment("It hurts.", 1, 2.5, role="multiple"), segment("Where?", 3, 4, role="multiple"))
FACTS = FactsMessage((fact("f1"), fact("f2", discarded=True)))
USAGE = Usage(0.04, final=True)
AWAY = TransientError(Reason.UPSTREAM_UNAVAILABLE, "no connection")
DUPLICATE = PermanentError(Reason.DUPLICATE_ENCOUNTER, "HTTP 409")


def transcribed(
    world: World, wanted: Job | None = None, attempt: Attempt | None = None
) -> tuple[Completed, list[Data]]:
    """The result of one attempt, and the live events that it reported."""
    reported: list[Data] = []
    result = world.transcriber.transcribe(
        wanted or job(), attempt or Attempt(), world.interrupt, reported.append
    )
    assert world.nothing_is_left_open()
    return result, reported


def failed(world: World, attempt: Attempt | None = None) -> JobError:
    """Make one attempt, which must fail; return the error."""
    with pytest.raises(JobError) as caught:
        world.transcriber.transcribe(job(), attempt or Attempt(), world.interrupt, lambda _: None)
    assert world.nothing_is_left_open()
    return caught.value


def test_what_the_service_said_is_folded_into_one_result() -> None:
    world = World(FIRST, SECOND, FACTS, Usage(0.01, final=False), USAGE)
    result, reported = transcribed(world, job(metadata={"ward": 7}), Attempt(number=2))
    assert result == Completed(
        interaction_id="interaction-1",
        segments=FINAL,
        text="multiple: It hurts.\nmultiple: Where?",
        facts=(fact("f1"),),
        audio=ResultAudio(
            source_format="opus in Ogg, 48000 Hz, 1 channel",
            sent_format="audio/ogg (as it is)",
            seconds=0.625,
            bytes=20,
            speech_seconds=0.0,
            silence_seconds=0.625,
        ),
        credits=0.04,
        warnings=("stream error late",),
        attempts=2,
        metadata={"ward": 7},
    )
    assert reported == []


def test_the_service_gets_the_configuration_and_every_chunk_in_order() -> None:
    world = World()
    transcribed(world, job(transcription={"language": "da"}))
    ((interaction, configuration, audio),) = world.service.streamed
    assert (interaction, audio) == ("interaction-1", b"a" * 8 + b"b" * 8 + b"c" * 4)
    value = json.loads(configuration)["configuration"]
    assert (value["transcription"]["primaryLanguage"], value["audioFormat"]) == ("da", "audio/ogg")


def test_silence_has_a_result_too() -> None:
    result, _ = transcribed(World())
    assert (result.segments, result.facts, result.credits) == ((), (), None)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], []),
        (["transcript"], [Segments(segments=INTERIM), Segments(segments=FINAL)]),
        (["facts"], [Facts(facts=FACTS.facts)]),
        (["progress"], [Progress(audio_seconds=at, total_seconds=None) for at in (0.25, 0.5, 0.625)]),
    ],
)
def test_only_the_live_events_that_the_job_asked_for_are_reported(
    events: list[str], expected: list[Data]
) -> None:
    _, reported = transcribed(World(FIRST, SECOND, FACTS, USAGE), job(events=events))
    assert reported == expected


def test_all_live_events_come_in_the_order_of_what_happened() -> None:
    _, reported = transcribed(World(FIRST, FACTS), job(events=["facts", "transcript", "progress"]))
    assert [type(one) for one in reported] == [Progress, Segments, Progress, Facts, Progress]


def test_an_interaction_is_used_again_by_the_next_attempt() -> None:
    world, attempt = World(), Attempt()
    world.service.breaks("open", AWAY)
    assert failed(world, attempt) is AWAY
    assert attempt.interaction is not None
    result, _ = transcribed(world, attempt=attempt)
    assert result.interaction_id == attempt.interaction.id == "interaction-1"


def test_no_interaction_is_made_for_audio_that_cannot_be_opened() -> None:
    world = World()
    world.library.failure = PermanentError(Reason.AUDIO_UNREACHABLE, "no such file")
    assert failed(world) is world.library.failure
    assert world.service.interactions == {}


@pytest.mark.parametrize("step", ["create", "open", "stream"])
def test_a_failure_of_any_step_comes_through_and_leaves_nothing_open(step: str) -> None:
    world = World(FIRST, SECOND)
    world.service.breaks(step, AWAY)
    assert failed(world) is AWAY


@pytest.mark.parametrize("prepare", [lambda attempt: None, lambda attempt: setattr(attempt, "number", 2)])
def test_a_refused_token_is_replaced_once_at_once(prepare: Callable[[Attempt], None]) -> None:
    world, attempt = World(), Attempt()
    prepare(attempt)
    world.auth.revoked = {"token 1"}
    result, _ = transcribed(world, attempt=attempt)
    assert result.interaction_id == "interaction-1"
    assert world.auth.issued == 2


def test_a_token_refused_by_the_stream_only_is_replaced_there() -> None:
    world = World()
    world.service.breaks("open", TokenRefused("HTTP 401"))
    transcribed(world)
    assert world.auth.issued == 2
    assert world.service.interactions == {"visit-17": "interaction-1"}


def test_a_second_refusal_is_left_to_the_retry_policy() -> None:
    world = World()
    world.auth.revoked = {"token 1", "token 2"}
    error = failed(world)
    assert isinstance(error, TransientError)
    assert error.reason == "auth_rejected"
    assert world.service.interactions == {}
    # The next attempt's request with the second token is refused, and it gets a third token.
    transcribed(world)
    assert world.auth.issued == 3


@pytest.mark.parametrize(
    ("number", "encounter"), [(1, {}), (2, {}), (2, {"identifier": "visit-17"})], ids=str
)
def test_an_interaction_of_ours_whose_create_answer_got_lost_is_found(
    number: int, encounter: dict[str, str]
) -> None:
    world = World()
    world.service.interactions["visit-17"] = "interaction-7"
    told: list[Interaction] = []
    attempt = Attempt(number, remember=told.append)
    result, _ = transcribed(world, job(encounter=encounter), attempt)
    assert result.interaction_id == "interaction-7"
    assert told == [attempt.interaction]


def test_an_interaction_that_somebody_else_made_for_the_encounter_is_not_used() -> None:
    world = World()
    world.service.interactions["enc-17"] = "interaction-7"
    with pytest.raises(PermanentError) as caught:
        transcribed(world, job(encounter={"identifier": "enc-17"}))
    assert caught.value.reason is Reason.DUPLICATE_ENCOUNTER
    assert world.service.streamed == []


def test_a_duplicate_that_cannot_be_found_is_a_duplicate() -> None:
    world = World()
    world.service.breaks("create", DUPLICATE)
    assert failed(world) is DUPLICATE


def test_a_failure_to_find_comes_through_and_a_refused_token_is_replaced_there_too() -> None:
    world = World()
    world.service.interactions["visit-17"] = "interaction-7"
    world.service.breaks("find", AWAY, TokenRefused("HTTP 401"))
    assert failed(world) is AWAY
    result, _ = transcribed(world)
    assert (result.interaction_id, world.auth.issued) == ("interaction-7", 2)


def test_an_interrupt_ends_the_attempt_and_leaves_nothing_open() -> None:
    world, attempt = World(FIRST), Attempt()
    world.service.during = lambda: world.interrupt.trigger(InterruptReason.DRAIN)
    with pytest.raises(Interrupted):
        world.transcriber.transcribe(job(), attempt, world.interrupt, lambda _: None)
    assert world.nothing_is_left_open()
    assert attempt.interaction is not None


@pytest.mark.parametrize("at_hand", [True, False])
def test_the_stream_is_told_whether_reads_of_its_audio_may_wait(*, at_hand: bool) -> None:
    world = World()
    world.library.at_hand = at_hand
    transcribed(world)
    assert world.service.fed_at_hand == [at_hand]
