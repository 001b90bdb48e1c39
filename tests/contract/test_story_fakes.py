"""The `Streams`, `Tokens` and `AudioLibrary` ports: fakes and real adapters, by the same tests."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.benches import Bench, StoryBench, all_closed, configuration, sandbox_bench
from tests.contract.corti_side import make_job
from tests.contract.listening import audio_sources
from tests.contract.studio import FAST, chunks_of, sha256, speech
from tests.contract.token_world import TokenWorld
from tests.fakes import FakeAudioLibrary, FakeTokens
from tests.unit.audio.reading import job_of, library_of
from tests.unit.audio.sounds import tone, wav_file
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.errors import PermanentError, Reason, TokenRefused
from worker.contract.job import Job
from worker.jobs.audio import AudioLibrary
from worker.jobs.ports import Sent, Tokens
from worker.protocol.pace import Chunk, PcmChunks

SAMPLES = tone(0.6)


@pytest.fixture(params=["story", "sandbox"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "story":
        yield StoryBench()
        return
    with sandbox_bench(request.getfixturevalue("side")) as made:
        yield made


@pytest.fixture(params=["story", "cache"])
def tokens(request: pytest.FixtureRequest) -> Tokens:
    return FakeTokens() if request.param == "story" else TokenWorld(None).process()


def test_a_token_is_the_same_until_it_is_refused(tokens: Tokens) -> None:
    first = tokens.get()
    assert tokens.get() == first
    tokens.refused(first)
    second = tokens.get()
    assert second.value != first.value
    assert second.generation != first.generation


def test_a_refusal_that_comes_twice_counts_once(tokens: Tokens) -> None:
    first = tokens.get()
    tokens.refused(first)
    second = tokens.get()
    tokens.refused(first)
    assert tokens.get() == second


@pytest.mark.parametrize(("live", "at_hand"), [(False, True), (True, True), (True, False)])
def test_all_audio_arrives_and_the_figures_say_so(bench: Bench, *, live: bool, at_hand: bool) -> None:
    interaction = bench.interactions.create(make_job(), bench.token)
    with bench.streams.open(interaction, bench.token, configuration()) as stream:
        for _ in stream.converse(
            chunks_of(speech(3)), FAST, live=live, interrupt=Interrupt(), at_hand=at_hand
        ):
            pass
        figures, warnings = stream.figures()
    all_closed(bench)
    assert bench.heard(interaction) == sha256(speech(3))
    assert (figures.bytes, figures.seconds) == (len(speech(3)), 6.0)
    assert isinstance(warnings, tuple)


def test_only_a_live_conversation_tells_its_position(bench: Bench) -> None:
    positions = []
    for live, speed in ((False, FAST), (True, 4.0)):
        interaction = bench.interactions.create(make_job(), bench.token)
        with bench.streams.open(interaction, bench.token, configuration()) as stream:
            # Positions are reported once a second of real time, so once in this conversation.
            news = list(stream.converse(chunks_of(speech(3)), speed, live=live, interrupt=Interrupt()))
        positions.append([item.seconds for item in news if isinstance(item, Sent)])
    assert positions[0] == []
    assert positions[1]
    assert positions[1] == sorted(set(positions[1]))
    assert 0 < positions[1][-1] <= 6.0


def test_a_conversation_without_audio_ends_well(bench: Bench) -> None:
    interaction = bench.interactions.create(make_job(), bench.token)
    with bench.streams.open(interaction, bench.token, configuration()) as stream:
        assert not [
            item
            for item in stream.converse(iter(()), FAST, live=True, interrupt=Interrupt())
            if isinstance(item, Sent)
        ]
        assert stream.figures()[0].bytes == 0
    all_closed(bench)


def test_a_refused_token_shows_when_the_stream_is_opened(bench: Bench) -> None:
    interaction = bench.interactions.create(make_job(), bench.token)
    bench.revoke()
    with pytest.raises(TokenRefused):
        bench.streams.open(interaction, bench.token, configuration())
    assert bench.open_streams() == 0


@pytest.mark.parametrize("at_hand", [True, False])
def test_what_the_audio_raises_comes_out_as_it_is_and_the_stream_is_closed(
    bench: Bench, *, at_hand: bool
) -> None:
    failure = PermanentError(Reason.AUDIO_MISMATCH, "not what was promised")

    def failing() -> Iterator[Chunk]:
        yield from chunks_of(speech())
        raise failure

    interaction = bench.interactions.create(make_job(), bench.token)
    with (
        pytest.raises(PermanentError) as raised,
        bench.streams.open(interaction, bench.token, configuration()) as stream,
    ):
        list(stream.converse(failing(), FAST, live=False, interrupt=Interrupt(), at_hand=at_hand))
    assert raised.value is failure
    all_closed(bench)


def test_a_stream_that_is_left_without_a_conversation_is_closed(bench: Bench) -> None:
    interaction = bench.interactions.create(make_job(), bench.token)
    with bench.streams.open(interaction, bench.token, configuration()):
        assert bench.open_streams() == 1
    all_closed(bench)


@pytest.fixture(params=["story", "library"])
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AudioLibrary]:
    """A library whose only audio is six tenths of a second of samples."""
    if request.param == "story":
        yield FakeAudioLibrary(list(PcmChunks(io.BytesIO(SAMPLES).read, 32_000, 2, 0.25)), total_seconds=0.6)
        return
    (tmp_path / "visit.wav").write_bytes(wav_file(SAMPLES))
    with audio_sources(tmp_path) as sources:
        yield library_of(sources, max_seconds=60.0)


def recording(tmp_path: Path) -> Job:
    return job_of(Audio(uri=(tmp_path / "visit.wav").as_uri()))


def test_audio_is_all_there_and_says_how_long_it_lasts(library: AudioLibrary, tmp_path: Path) -> None:
    with library.open(recording(tmp_path), Interrupt()) as audio:
        chunks = list(audio.chunks())
        assert b"".join(chunk.data for chunk in chunks) == SAMPLES
        assert sum(chunk.seconds for chunk in chunks) == pytest.approx(audio.total_seconds)
        assert audio.format is not None
        assert audio.at_hand
