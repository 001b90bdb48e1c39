"""The sandbox's faults of an open stream, as a client sees them."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from ops.sandbox.launch import Sandbox
from tests.sandbox.client import Client, Conversation, configuration, facts_mode
from tests.sandbox.sound import chunks, silence, tone

SPEECH = chunks((tone(1) + silence(1)).tobytes())


def talk(client: Client, created: dict[str, Any] | None = None, **config: Any) -> tuple[Conversation, int]:
    """Send two seconds of audio with one segment and the end; return the conversation and its close code."""
    with client.connect(created or client.create()) as conversation:
        conversation.configure(configuration(**config))
        conversation.send(SPEECH)
        return conversation, conversation.finish()


@pytest.mark.parametrize(
    ("name", "kind"), [("config_denied", "CONFIG_DENIED"), ("config_rejected", "CONFIG_REJECTED")]
)
def test_a_good_configuration_is_refused(client: Client, sandbox: Sandbox, name: str, kind: str) -> None:
    sandbox.fault(name, reason="just so", count=1)
    with client.connect(client.create()) as conversation:
        assert conversation.configure() == {"type": kind, "reason": "just so"}
        assert conversation.drain() == 1000
    assert talk(client)[1] == 1000


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("config_not_provided", ["CONFIG_NOT_PROVIDED"]),
        ("config_timeout", ["CONFIG_TIMEOUT"]),
        ("config_timeout_silent_close", []),
    ],
)
def test_an_overlooked_configuration(hasty_sandbox: Sandbox, name: str, kinds: list[str]) -> None:
    client = Client(hasty_sandbox)
    hasty_sandbox.fault(name, count=1)
    with client.connect(client.create()) as conversation:
        conversation.say("config", configuration=configuration())
        assert conversation.drain() == 1000
    assert conversation.types == kinds


def test_config_silent_answers_nothing(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("config_silent")
    with client.connect(client.create()) as conversation:
        conversation.say("config", configuration=configuration())
        with pytest.raises(TimeoutError):
            conversation.next(0.3)
        assert conversation.socket.answers_ping(5), "pings must be answered: only Corti's protocol is silent"


def test_config_slow(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("config_slow", seconds=0.3)
    began = time.monotonic()
    with client.open():
        assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("limit", [{"after_seconds": 0.5}, {"after_bytes": 16_000}, {}])
def test_drop_socket_resets(any_client: Client, sandbox: Sandbox, limit: dict[str, float]) -> None:
    created = any_client.create()
    sandbox.fault("drop_socket", count=1, **limit)
    with any_client.connect(created) as conversation:
        conversation.configure()
        conversation.send(SPEECH[:1])
        if limit:
            assert conversation.socket.answers_ping(5), "the socket was dropped too early"
        # The reset may be noticed while sending or while reading.
        with suppress(ConnectionClosed):
            conversation.send(SPEECH[1:])
        assert conversation.drain() == 1006
    assert talk(any_client, created)[1] == 1000
    records = sandbox.stats()["streams"]
    assert [record["close_code"] for record in records] == [1006, 1000]
    assert records[0]["faults"] == ["drop_socket"]


def test_a_fault_reaches_a_socket_that_is_already_open(client: Client, sandbox: Sandbox) -> None:
    with client.open() as conversation:
        conversation.send(SPEECH)
        conversation.until("transcript")
        sandbox.fault("close_code", code=4001, after_seconds=0.1, reason="later")
        conversation.send(SPEECH[:1])
        assert conversation.drain() == 4001


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
def test_close_code(client: Client, sandbox: Sandbox, code: int) -> None:
    sandbox.fault("close_code", code=code, after_seconds=1)
    with client.open() as conversation:
        # The close may be noticed while sending or while reading.
        with suppress(ConnectionClosed):
            conversation.send(SPEECH)
        assert conversation.drain() == code
    assert "ENDED" not in conversation.types


def test_go_silent_keeps_tcp_and_answers_not_even_pings(any_client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("go_silent", after_seconds=1)
    with any_client.open() as conversation:
        conversation.send(SPEECH)
        pong = conversation.socket.ping()
        conversation.say("end")
        with pytest.raises(TimeoutError):
            conversation.next(0.5)
        assert pong not in conversation.socket.pongs
        assert sandbox.stats()["sockets_open"] == 1
        conversation.socket.drop()
    deadline = time.monotonic() + 5
    while sandbox.stats()["sockets_open"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sandbox.stats()["sockets_open"] == 0, "the server did not notice that the client has gone"


def test_slow_reader(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("slow_reader", seconds=0.05)
    began = time.monotonic()
    assert talk(client)[1] == 1000
    assert time.monotonic() - began >= 0.05 * len(SPEECH)


def test_a_stream_goes_on_after_an_error_message(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("error_message", status=503, title="Busy", after_seconds=0.5)
    conversation, closed = talk(client)
    assert conversation.types == ["CONFIG_ACCEPTED", "error", "transcript", "usage", "ENDED"]
    assert (conversation.messages[1]["error"]["status"], closed) == (503, 1000)


def test_a_fatal_error_message(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("error_message", fatal=True, after_seconds=0.5)
    with client.open() as conversation:
        # Send no more than causes the fault: a client that sends to a closed socket may lose messages.
        conversation.send(SPEECH[:2])
        closed = conversation.drain()
    assert (conversation.types, closed) == (["CONFIG_ACCEPTED", "error", "usage", "ENDED"], 1000)


def test_no_ended(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("no_ended")
    conversation, closed = talk(client)
    assert (conversation.types[-1], closed) == ("usage", 1000)
    assert sandbox.stats()["streams"][0]["ended"] is False


def test_never_ends(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("never_ends")
    with client.open() as conversation:
        conversation.send(SPEECH)
        conversation.until("transcript")
        conversation.say("end")
        with pytest.raises(TimeoutError):
            conversation.next(0.3)


def test_facts_under_the_old_key(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("facts_key_data")
    conversation, _ = talk(client, mode=facts_mode())
    (message,) = [one for one in conversation.messages if one["type"] == "facts"]
    assert sorted(message) == ["data", "type"]


def test_interim_segments_come_before_the_final_one(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("interim_segments")
    conversation, _ = talk(client)
    interim, final = conversation.segments
    assert (interim["final"], final["final"]) == (False, True)
    assert interim["time"] == final["time"]
    assert final["transcript"].startswith(interim["transcript"])


def test_segments_out_of_order(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("out_of_order_segments")
    with client.open() as conversation:
        conversation.send(SPEECH * 3)
        conversation.finish()
    assert [round(one["time"]["start"]) for one in conversation.segments] == [2, 0, 4]


@pytest.mark.parametrize(("name", "start_of_second"), [("time_restarts", 0), ("time_continues", 2)])
def test_time_on_a_second_socket(client: Client, sandbox: Sandbox, name: str, start_of_second: int) -> None:
    sandbox.fault(name)
    created = client.create()
    talk(client, created)
    second, _ = talk(client, created)
    assert [round(one["time"]["start"]) for one in second.segments] == [start_of_second]


def test_segments_are_repeated_on_resume(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("repeat_segments")
    created = client.create()
    first, _ = talk(client, created)
    second, _ = talk(client, created)
    assert len(first.segments) == 1
    assert len(second.segments) == 2
    assert second.segments[0] == first.segments[0]


@pytest.mark.parametrize("kind", ["not_json", "not_object", "unknown_type", "binary"])
def test_garbage_comes_before_the_first_transcript(client: Client, sandbox: Sandbox, kind: str) -> None:
    sandbox.fault("garbage_message", kind=kind)
    with client.open() as conversation:
        conversation.send(SPEECH)
        raw = conversation.socket.recv(5)
        assert isinstance(raw, bytes) is (kind == "binary")
        if kind == "unknown_type":
            assert json.loads(raw)["type"] not in ("transcript", "facts", "usage")
        assert conversation.next()["type"] == "transcript"
        assert conversation.finish() == 1000
