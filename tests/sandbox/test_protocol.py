"""The protocol object by itself: no socket, no clock, no thread."""

from __future__ import annotations

import pytest

from ops.sandbox.stream.messages import Abort, Close, Send
from tests.sandbox.bench import SCRIPT, Bench, config, said, types
from tests.sandbox.client import configuration, facts_mode
from tests.sandbox.sound import noise, silence, tone


def test_the_deadline_is_that_of_the_configuration_and_then_none() -> None:
    protocol = Bench(config_deadline=10).open(now=100)
    deadlines = [protocol.deadline]
    assert protocol.tick(109.9) == []
    assert types(protocol.received_text(config(), 109.9)) == ["CONFIG_ACCEPTED"]
    deadlines.append(protocol.deadline)
    assert deadlines == [110, None]
    assert protocol.tick(1000) == []


def test_without_a_configuration_the_socket_closes_at_the_deadline() -> None:
    protocol = Bench(config_deadline=10).open(now=100)
    assert types(protocol.received_text('{"type": "flush"}', 105)) == ["CONFIG_MISSING"]
    assert types(protocol.tick(110)) == ["CONFIG_NOT_PROVIDED", "Close"]
    assert protocol.received_text(config(), 111) == []


def test_latency_keeps_the_order_and_sets_the_deadline() -> None:
    bench = Bench(latency=2)
    protocol = bench.open()
    protocol.received_text(config(), 0)
    assert bench.send(protocol, (tone(1) + silence(1)).tobytes(), now=5) == []
    assert protocol.deadline == 7
    assert protocol.received_text('{"type": "end"}', 6) == []
    assert protocol.tick(6.9) == []
    assert types(protocol.tick(8)) == ["transcript", "usage", "ENDED", "Close"]


def test_nothing_is_said_after_the_connection_is_lost() -> None:
    bench = Bench()
    protocol = bench.open()
    protocol.received_text(config(), 0)
    bench.send(protocol, tone(1).tobytes())
    protocol.connection_lost()
    assert protocol.received_text('{"type": "end"}', 1) == []
    assert protocol.tick(2) == []
    assert bench.interaction.history.segments == []


def test_facts_come_at_the_documented_intervals() -> None:
    # `fast_init` means after 10 s, then 20, 26 and 38 s later, then every 60 s; here all is a tenth of that.
    bench = Bench(time_scale=0.1)
    protocol = bench.open()
    protocol.received_text(config(mode=facts_mode("fast_init")), 0)
    speech = (tone(0.2) + silence(0.8)).tobytes()
    times = [n for n in range(1, 23) if "facts" in types(bench.send(protocol, speech, step=len(speech)))]
    assert times == [1, 3, 6, 10, 16, 22]


def test_fixed_facts_come_every_minute_and_the_rest_before_usage() -> None:
    bench = Bench(time_scale=0.05)
    protocol = bench.open()
    protocol.received_text(config(mode=facts_mode()), 0)
    speech = (tone(0.2) + silence(0.8)).tobytes()
    times = [n for n in range(1, 8) if "facts" in types(bench.send(protocol, speech, step=len(speech)))]
    assert times == [3, 6]
    rest = types(protocol.received_text('{"type": "end"}', 1))
    assert rest == ["facts", "usage", "ENDED", "Close"]


def test_no_facts_in_transcription_mode() -> None:
    bench = Bench(facts_every=1)
    protocol = bench.open()
    protocol.received_text(config(), 0)
    replies = bench.send(protocol, (tone(1) + silence(1)).tobytes() * 3)
    replies += protocol.received_text('{"type": "end"}', 1)
    assert "facts" not in types(replies)


def test_a_script_is_played_as_the_audio_covers_it() -> None:
    bench = Bench(SCRIPT)
    protocol = bench.open()
    protocol.received_text(config(mode=facts_mode()), 0)
    assert said(bench.send(protocol, noise(1.9).tobytes())) == []
    assert said(bench.send(protocol, noise(0.2).tobytes())) == [("Good morning.", 0.5, 2.0)]
    assert said(bench.send(protocol, noise(3.8).tobytes())) == [("I cough.", 2.5, 4.0)]
    replies = protocol.received_text('{"type": "end"}', 1)
    # The recording ends 0.1 s before the last line of the script; the line counts as complete all the same.
    assert said(replies) == [("For a week.", 4.5, 6.0)]
    assert types(replies) == ["transcript", "facts", "usage", "ENDED", "Close"]


def test_a_fact_that_is_stated_again_keeps_its_id() -> None:
    bench = Bench(SCRIPT, facts_every=5)
    protocol = bench.open()
    protocol.received_text(config(mode=facts_mode()), 0)
    replies = bench.send(protocol, noise(6.5).tobytes()) + protocol.received_text('{"type": "end"}', 1)
    first, second = (
        reply.message["fact"][0]
        for reply in replies
        if isinstance(reply, Send) and reply.message["type"] == "facts"
    )
    assert first["id"] == second["id"]
    assert (first["text"], second["text"]) == ("Cough", "Cough for a week")
    assert (first["updatedAt"], second["createdAt"]) == (None, first["createdAt"])
    assert second["updatedAt"] is not None


def test_channels_and_speakers_of_a_script_follow_the_configuration() -> None:
    bench = Bench(SCRIPT)
    protocol = bench.open()
    transcription = configuration()["transcription"] | {"isMultichannel": True, "diarize": True}
    protocol.received_text(config(transcription=transcription), 0)
    replies = bench.send(protocol, noise(7).tobytes())
    found = [
        (one["participant"]["channel"], one["speakerId"])
        for reply in replies
        if isinstance(reply, Send) and reply.message["type"] == "transcript"
        for one in reply.message["data"]
    ]
    assert found == [(0, 0), (1, 1), (1, 1)]


@pytest.mark.parametrize("resume_at", [2.2, 1.0, 2.0103125, 0.0])
def test_a_script_finds_out_where_a_resumed_recording_begins(resume_at: float) -> None:
    recording = noise(8)
    bench = Bench(SCRIPT)
    first = bench.open()
    first.received_text(config(), 0)
    bench.send(first, recording[: 16_000 * 3].tobytes())
    first.connection_lost()
    second = bench.open(now=10)
    second.received_text(config(), 10)
    replies = bench.send(second, recording[int(16_000 * resume_at) :].tobytes(), now=10)
    replies += second.received_text('{"type": "end"}', 11)
    expected = [line for line in SCRIPT.lines if line.end > resume_at]
    assert [text for text, _, _ in said(replies)] == [line.text for line in expected]
    starts = [max(0.0, line.start - resume_at) for line in expected]
    assert [start for _, start, _ in said(replies)] == pytest.approx(starts, abs=0.011)


def test_a_resumed_recording_that_repeats_nothing_goes_on() -> None:
    bench = Bench(SCRIPT)
    first = bench.open()
    first.received_text(config(), 0)
    bench.send(first, noise(3, seed=1).tobytes())
    first.connection_lost()
    second = bench.open()
    second.received_text(config(), 0)
    replies = bench.send(second, noise(4, seed=2).tobytes())
    assert said(replies) == [("I cough.", 0.0, 1.0), ("For a week.", 1.5, 3.0)]


def test_replacements_are_literal_and_ignore_case() -> None:
    bench = Bench(SCRIPT)
    protocol = bench.open()
    swap = [{"find": "COUGH", "replace": r"\1 sneeze"}, {"find": "or", "replace": "never inside a word"}]
    protocol.received_text(config(replacements=swap), 0)
    texts = [text for text, _, _ in said(bench.send(protocol, noise(7).tobytes()))]
    assert texts == ["Good morning.", r"I \1 sneeze.", "For a week."]


def test_an_abort_forgets_what_was_to_be_said() -> None:
    bench = Bench(faults=[{"name": "drop_socket", "after_seconds": 1.5}], latency=5)
    protocol = bench.open()
    protocol.received_text(config(), 0)
    replies = bench.send(protocol, (tone(1) + silence(1)).tobytes())
    assert replies == [Abort()]
    assert protocol.tick(100) == []


def test_a_fault_with_a_count_hits_one_socket() -> None:
    bench = Bench(faults=[{"name": "close_code", "code": 4000, "after_seconds": 0.1, "count": 1}])
    outcomes = []
    for _ in range(2):
        protocol = bench.open()
        protocol.received_text(config(), 0)
        outcomes.append(bench.send(protocol, silence(1).tobytes()))
    assert outcomes == [[Close(4000)], []]
