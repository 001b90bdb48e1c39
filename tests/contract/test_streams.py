"""The `Streams` port with the sandbox, over wss and ws: audio is sent in order and in time, news arrive."""

import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from threading import Event

import pytest
from websocket import WebSocket
from websockets.protocol import Protocol

from ops.sandbox.launch import Sandbox
from tests.contract.corti_side import corti_side
from tests.contract.studio import CHUNK_SECONDS, Studio, chunks_of, sha256, speech, studio
from tests.contract.waiting import eventually
from worker.concurrency.interrupt import Interrupt
from worker.contract.errors import JobError, PermanentError, Reason
from worker.corti.stream.conversation import Conversation
from worker.jobs.ports import Sent
from worker.protocol.pace import Chunk, PcmChunks
from worker.telemetry import catalogue


@pytest.fixture(params=["wss", "wss distant", "ws"])
def any_room(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Studio]:
    secure, at_hand = request.param.startswith("wss"), "distant" not in request.param
    with corti_side(sandbox, secure=secure) as side, studio(side, at_hand=at_hand) as made:
        yield made


def test_every_byte_arrives_once_and_in_order(any_room: Studio) -> None:
    audio, interaction = speech(10), any_room.interaction()
    heard = any_room.talk(chunks_of(audio), interaction=interaction)
    record = any_room.record(interaction)
    assert record["sha256"] == sha256(audio)
    assert (record["audio_bytes"], record["max_chunk_bytes"]) == (len(audio), 8000)
    assert (heard.bytes, heard.seconds) == (len(audio), 20.0)
    assert any_room.pacer.figures.bytes == len(audio)
    assert any_room.pacer.figures.seconds == pytest.approx(20.0)
    assert any_room.recorder.total(catalogue.STREAMS_ENDED, reason="ended") == 1


def _in_memory(kind: type) -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, kind)]


@pytest.mark.parametrize("by_the_pacer", [True, False])
def test_nothing_of_a_stream_that_is_over_waits_for_the_garbage_collector(
    any_room: Studio, by_the_pacer: bool
) -> None:
    """The collector runs seldom: with 5 kB for each job, a busy worker kept 80 MB in half an hour."""
    audio = speech(2)
    read = BytesIO(audio).read
    gc.collect()
    gc.disable()
    try:
        known = {id(one) for kind in (Conversation, WebSocket, Protocol) for one in _in_memory(kind)}
        pcm = PcmChunks(read, 32_000, 2, 0.25, size=len(audio), read_now=read)
        any_room.talk(pcm if by_the_pacer else chunks_of(audio))
        for kind in Conversation, WebSocket, Protocol:
            eventually(lambda kind=kind: not {id(one) for one in _in_memory(kind)} - known)  # type: ignore[misc]
    finally:
        gc.enable()


@pytest.mark.parametrize("size", [2, 124, 126, 128, 64_000])
def test_chunks_of_every_length_arrive(room: Studio, size: int) -> None:
    interaction, audio = room.interaction(), speech()[:size]
    room.talk([Chunk(audio, 0.1)], interaction=interaction)
    assert room.record(interaction)["sha256"] == sha256(audio)


def test_segments_and_usage_come_back(any_room: Studio) -> None:
    heard = any_room.talk(chunks_of(speech(3)))
    assert len(heard.segments) == 3
    assert all(one.final and one.text for one in heard.segments)
    starts = [one.start for one in heard.segments]
    assert starts == pytest.approx([0.0, 2.0, 4.0], abs=0.3)
    assert [usage.final for usage in heard.usage] == [True]
    assert heard.usage[0].credits == pytest.approx(6 / 60)
    assert (heard.facts, heard.warnings, heard.positions) == ([], (), [])


def test_facts_come_back_when_they_are_asked_for(any_room: Studio) -> None:
    heard = any_room.talk(chunks_of(speech(3)), mode="facts", locale="en")
    assert heard.facts
    assert all(fact.id and fact.text and fact.group for fact in heard.facts)


def test_a_stream_without_audio_ends_well(any_room: Studio) -> None:
    heard = any_room.talk(())
    assert (heard.segments, heard.bytes, heard.seconds) == ([], 0, 0.0)


def test_at_real_time_audio_is_never_more_than_a_chunk_ahead(room: Studio) -> None:
    interaction = room.interaction()
    room.talk(chunks_of(speech(2)), interaction=interaction, speed=1.0)
    record = room.record(interaction)
    assert record["max_ahead_seconds"] <= CHUNK_SECONDS
    # The 15 chunks after the first take 3.75 s; a busy machine may read the first one late.
    assert 3.4 < record["last_audio_at"] - record["first_audio_at"] < 4.8
    assert sum(room.pacer.figures.lateness) == 16


def test_at_four_times_real_time_it_takes_a_quarter(room: Studio) -> None:
    interaction = room.interaction()
    room.talk(chunks_of(speech(2)), interaction=interaction, speed=4.0)
    record = room.record(interaction)
    assert 3.2 / 4 < record["last_audio_at"] - record["first_audio_at"] < 6.0 / 4


def test_live_news_come_while_the_audio_goes_on(room: Studio) -> None:
    heard, before_the_end = [], 0
    with room.open() as stream:
        for item in stream.converse(chunks_of(speech(3)), 4.0, live=True, interrupt=Interrupt()):
            heard.append(item)
            before_the_end += stream.figures()[0].seconds < 6.0
    positions = [item.seconds for item in heard if isinstance(item, Sent)]
    assert before_the_end >= 3, "two segments and a position must come before the end"
    assert positions == sorted(positions)
    assert 0 < positions[0] < 6.0


@pytest.mark.parametrize("at_hand", [True, False])
def test_a_slow_source_only_delays_the_audio(room: Studio, *, at_hand: bool) -> None:
    def slowly() -> Iterator[Chunk]:
        for number, chunk in enumerate(chunks_of(speech(2))):
            if number in {3, 9}:
                time.sleep(0.15)
            yield chunk

    interaction = room.interaction()
    room.talk(slowly(), interaction=interaction, speed=50.0, at_hand=at_hand)
    assert room.record(interaction)["sha256"] == sha256(speech(2))


def test_the_error_of_a_source_that_fails_in_mid_stream_is_raised_unchanged(any_room: Studio) -> None:
    failure = PermanentError(Reason.AUDIO_MISMATCH, "not what was promised")

    def failing() -> Iterator[Chunk]:
        yield from islice(chunks_of(speech(60)), 200)
        raise failure

    with pytest.raises(PermanentError) as raised:
        any_room.talk(failing())
    assert raised.value is failure
    eventually(lambda: any_room.pacer.open_streams == 0)
    assert any_room.recorder.total(catalogue.STREAMS_ENDED, reason="ended") == 0


def test_leaving_early_closes_the_socket(any_room: Studio, sandbox: Sandbox) -> None:
    interaction = any_room.interaction()
    with any_room.open(interaction) as stream:
        audio, at_hand = chunks_of(speech(30)), any_room.at_hand
        next(stream.converse(audio, 8.0, live=True, interrupt=Interrupt(), at_hand=at_hand))
    eventually(lambda: sandbox.stats(summary=True)["sockets_open"] == 0)
    eventually(lambda: any_room.pacer.open_streams == 0)
    assert any_room.record(interaction)["close_code"] == 1000
    assert any_room.recorder.total(catalogue.STREAMS_ENDED, reason="ended") == 0
    assert any_room.recorder.total(catalogue.STREAMS_ENDED) == 1


def test_leaving_before_the_conversation_closes_the_socket(any_room: Studio, sandbox: Sandbox) -> None:
    with any_room.open():
        pass
    eventually(lambda: sandbox.stats(summary=True)["sockets_open"] == 0)
    eventually(lambda: any_room.pacer.open_streams == 0)


def test_a_hundred_streams_at_once_are_kept_apart(sandbox: Sandbox) -> None:
    number = 100
    with corti_side(sandbox) as side, studio(side, simultaneous=8) as room:
        interactions = [room.interaction() for _ in range(number)]
        audio = [speech()[: 32_000 + 320 * n] for n in range(number)]
        with ThreadPoolExecutor(number) as pool:
            talks = [
                pool.submit(room.talk, chunks_of(clip), interaction=interaction, speed=1.0)
                for clip, interaction in zip(audio, interactions, strict=True)
            ]
            heard = [talk.result() for talk in talks]
        records = {record["interaction_id"]: record for record in sandbox.stats()["streams"]}
        assert sandbox.stats(summary=True)["max_sockets_open"] > number // 4
    assert [records[one.id]["sha256"] for one in interactions] == [sha256(clip) for clip in audio]
    assert {len(one.segments) for one in heard} == {1}


def test_when_the_pacer_stops_its_streams_are_failures_not_ends(sandbox: Sandbox) -> None:
    with corti_side(sandbox) as side:
        room = Studio(side)
        sending = Event()

        def endless() -> Iterator[Chunk]:
            while True:
                sending.set()
                yield from chunks_of(speech())

        with ThreadPoolExecutor(1) as pool:
            with room.feeder, room.pacer:
                talk = pool.submit(room.talk, endless(), speed=20.0)
                assert sending.wait(5)
                eventually(lambda: room.pacer.figures.bytes > 0)
            with pytest.raises(JobError) as failure:
                talk.result(timeout=5)
        assert failure.value.reason is Reason.STREAM_INTERRUPTED
    eventually(lambda: sandbox.stats(summary=True)["sockets_open"] == 0)


def test_a_stream_that_comes_while_the_pacer_stops_is_a_failure_too(sandbox: Sandbox) -> None:
    with corti_side(sandbox) as side:
        room = Studio(side)
        stream = room.open()
        room.pacer._stopping = True
        with room.feeder, room.pacer, stream, pytest.raises(JobError) as failure:
            list(stream.converse(chunks_of(speech()), 1.0, live=False, interrupt=Interrupt()))
        assert failure.value.reason is Reason.STREAM_INTERRUPTED
    eventually(lambda: sandbox.stats(summary=True)["sockets_open"] == 0)


def test_an_idle_pacer_gives_signs_of_life_and_stops_at_once(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with corti_side(sandbox) as side:
        room = Studio(side)
        with room.pacer:
            monkeypatch.setattr("worker.corti.stream.pacer._IDLE", 0.05)
            room.pacer._poke()
            eventually(lambda: room.heartbeat.beats >= 4)
            monkeypatch.setattr("worker.corti.stream.pacer._IDLE", 20.0)
            beats = room.heartbeat.beats
            eventually(lambda: room.heartbeat.beats > beats)
            began = time.monotonic()
        assert time.monotonic() - began < 5
