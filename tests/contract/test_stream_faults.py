"""Streams on which the service misbehaves, with the faults of the sandbox."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ops.sandbox.launch import Sandbox, start
from tests.contract.corti_side import corti_side
from tests.contract.studio import FAST, Studio, chunks_of, sha256, speech, studio, talk_failure
from tests.contract.waiting import eventually
from worker.contract.errors import JobError, PermanentError, Reason, TransientError
from worker.protocol.session import Timings

_IMPATIENT = Timings(config=0.3, ping=0.3, pong=0.3, end=0.3)


@pytest.fixture
def impatient_room(sandbox: Sandbox) -> Iterator[Studio]:
    with corti_side(sandbox) as side, studio(side, timings=_IMPATIENT) as made:
        yield made


@pytest.fixture(scope="module")
def hasty_corti() -> Iterator[Sandbox]:
    """A sandbox that does not wait long for a configuration."""
    with start(config_deadline=0.4, tls_port=None) as running:
        yield running


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ({"name": "config_denied"}, PermanentError, Reason.CONFIG_DENIED),
        ({"name": "config_rejected"}, PermanentError, Reason.CONFIG_DENIED),
        ({"name": "drop_socket"}, TransientError, Reason.STREAM_INTERRUPTED),
        ({"name": "drop_socket", "after_seconds": 1.0}, TransientError, Reason.STREAM_INTERRUPTED),
        ({"name": "drop_socket", "after_bytes": 40_000}, TransientError, Reason.STREAM_INTERRUPTED),
        ({"name": "close_code", "code": 1000}, TransientError, Reason.STREAM_INTERRUPTED),
        ({"name": "close_code", "code": 1001}, TransientError, Reason.STREAM_INTERRUPTED),
        ({"name": "close_code", "code": 1011}, TransientError, Reason.STREAM_INTERRUPTED),
        ({"name": "close_code", "code": 4999}, TransientError, Reason.STREAM_INTERRUPTED),
        ({"name": "no_ended"}, TransientError, Reason.STREAM_INTERRUPTED),
        ({"name": "error_message", "fatal": True}, TransientError, Reason.STREAM_INTERRUPTED),
        ({"name": "error_message", "fatal": True, "status": 400}, PermanentError, Reason.STREAM_REFUSED),
        (
            {"name": "error_message", "fatal": True, "id": "audio-invalid"},
            PermanentError,
            Reason.AUDIO_UNSUPPORTED,
        ),
    ],
    ids=str,
)
def test_a_stream_that_fails_says_why(
    sandbox: Sandbox, room: Studio, fault: dict[str, Any], kind: type[JobError], reason: Reason
) -> None:
    sandbox.fault(**fault)
    error = talk_failure(room, speed=50.0)
    assert (type(error), error.reason) == (kind, reason)
    sandbox.clear_faults()
    assert room.talk().segments, "the next stream must work"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"name": "config_silent"}, Reason.CONFIG_TIMEOUT),
        ({"name": "go_silent", "after_seconds": 0.5}, Reason.STREAM_SILENT),
        ({"name": "never_ends"}, Reason.STREAM_SILENT),
    ],
    ids=str,
)
def test_a_service_that_falls_silent_is_given_up_in_time(
    sandbox: Sandbox,
    impatient_room: Studio,
    fault: dict[str, Any],
    reason: Reason,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.corti.stream.conversation._LINGER", 0.1)
    sandbox.fault(**fault)
    began = time.monotonic()
    error = talk_failure(impatient_room, speed=20.0)
    assert isinstance(error, TransientError)
    assert error.reason is reason
    assert time.monotonic() - began < 5
    sandbox.clear_faults()
    eventually(lambda: sandbox.stats(summary=True)["sockets_open"] == 0)


def test_a_quiet_service_that_answers_pings_is_not_given_up(sandbox: Sandbox, room: Studio) -> None:
    # Two seconds of silence are four times as long as this session waits for a pong.
    with studio(room.side, timings=Timings(config=5, ping=0.25, pong=0.25, end=5)) as patient_room:
        heard = patient_room.talk(chunks_of(bytes(32_000)), speed=1.0)
    assert heard.segments == []


@pytest.mark.parametrize("fault", ["config_not_provided", "config_timeout", "config_timeout_silent_close"])
def test_a_configuration_that_was_overlooked_is_worth_another_try(hasty_corti: Sandbox, fault: str) -> None:
    hasty_corti.fault(fault, count=1)
    with corti_side(hasty_corti, secure=False) as side, studio(side) as room:
        error = talk_failure(room)
        assert isinstance(error, TransientError)
        assert error.reason is Reason.CONFIG_TIMEOUT
        assert room.talk().segments


def test_a_late_acceptance_is_waited_for(sandbox: Sandbox, room: Studio) -> None:
    interaction = room.interaction()
    sandbox.fault("config_slow", seconds=0.4)
    assert room.talk(interaction=interaction).segments
    record = room.record(interaction)
    assert record["first_audio_at"] - record["opened_at"] >= 0.4


def test_an_error_that_is_not_the_end_becomes_a_warning(sandbox: Sandbox, room: Studio) -> None:
    sandbox.fault("error_message", after_seconds=0.5)
    heard = room.talk(speed=20.0)
    assert len(heard.segments) == 1
    assert heard.warnings == ("stream error sandbox-fault",)


def test_facts_are_found_under_either_key(sandbox: Sandbox, room: Studio) -> None:
    sandbox.fault("facts_key_data")
    assert room.talk(mode="facts", locale="en").facts


def test_interim_segments_come_before_their_final_one(sandbox: Sandbox, room: Studio) -> None:
    sandbox.fault("interim_segments")
    assert [one.final for one in room.talk(chunks_of(speech(2))).segments] == [False, True] * 2


@pytest.mark.parametrize("kind", ["not_json", "not_object", "unknown_type", "binary"])
def test_an_unreadable_message_is_skipped_and_the_rest_is_kept(
    sandbox: Sandbox, room: Studio, kind: str
) -> None:
    sandbox.fault("garbage_message", kind=kind)
    assert len(room.talk(chunks_of(speech(2))).segments) == 2


def test_a_slow_reader_gets_every_byte(sandbox: Sandbox, room: Studio) -> None:
    audio, interaction = speech(10), room.interaction()
    sandbox.fault("slow_reader", seconds=0.002)
    room.talk(chunks_of(audio), interaction=interaction, speed=FAST)
    assert room.record(interaction)["sha256"] == sha256(audio)


def test_a_slow_reader_does_not_hold_up_the_other_streams(sandbox: Sandbox, room: Studio) -> None:
    slow, quick = room.interaction(), room.interaction()
    sandbox.fault("slow_reader", seconds=0.2, count=1)
    thread = threading.Thread(target=room.talk, kwargs={"interaction": slow, "speed": FAST})
    thread.start()
    eventually(lambda: sandbox.stats(summary=True)["sockets_open"] == 1)
    room.talk(interaction=quick)
    assert thread.is_alive()
    thread.join()
    assert room.record(slow)["sha256"] == sha256(speech())
