"""Upgrade and configuration: which clients get a stream, and when."""

from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from ops.sandbox.launch import Sandbox
from tests.sandbox.client import Client, configuration, facts_mode


@pytest.mark.parametrize(
    ("transcription", "rest", "reason"),
    [
        ({"primaryLanguage": "tlh"}, {}, "language unavailable"),
        ({"participants": [{"channel": 0, "role": "nurse"}]}, {}, "role"),
        ({}, {"audioFormat": "application/json"}, "audio format"),
        ({}, {"audioFormat": "audio/pcm; rate=16000"}, "channels"),
        ({}, {"mode": {"type": "facts"}}, "outputLocale"),
        ({}, {"mode": facts_mode("often")}, "factGenerationInterval"),
    ],
)
def test_a_bad_configuration_is_denied_with_a_reason(
    client: Client, transcription: dict[str, Any], rest: dict[str, Any], reason: str
) -> None:
    wanted = configuration(**rest)
    wanted["transcription"] |= transcription
    with client.connect(client.create()) as conversation:
        answer = conversation.configure(wanted)
        assert answer["type"] == "CONFIG_DENIED"
        assert reason in answer["reason"]
        assert conversation.drain() == 1000


def test_frames_before_the_configuration_are_answered_and_the_socket_stays(client: Client) -> None:
    with client.connect(client.create()) as conversation:
        conversation.send([b"\0" * 8000])
        assert conversation.next()["type"] == "CONFIG_MISSING"
        conversation.socket.send("not json")
        assert conversation.next()["type"] == "CONFIG_MISSING"
        conversation.say("end")
        assert conversation.next()["type"] == "CONFIG_MISSING"
        assert conversation.configure()["type"] == "CONFIG_ACCEPTED"
        assert conversation.configure()["type"] == "CONFIG_ALREADY_RECEIVED"
        assert conversation.finish() == 1000


def test_the_configuration_has_a_deadline(hasty_sandbox: Sandbox) -> None:
    client = Client(hasty_sandbox)
    with client.connect(client.create()) as conversation:
        assert conversation.drain() == 1000
    assert conversation.types == ["CONFIG_NOT_PROVIDED"]


def test_pings_are_answered(client: Client) -> None:
    with client.open() as conversation:
        assert conversation.socket.answers_ping(5)


@pytest.mark.parametrize(
    ("identifier", "tenant", "token", "status"),
    [
        ("{id}", "base", "Bearer%20nonsense", 401),
        ("{id}", "base", "", 401),
        ("{id}", "other", "Bearer%20{token}", 403),
        ("7b1f0a52-6a4c-4d0e-8a49-0d6c4f0d7b11", "base", "Bearer%20{token}", 404),
        ("not-a-uuid", "base", "Bearer%20{token}", 400),
    ],
)
def test_a_socket_is_refused_before_the_upgrade(
    any_client: Client, sandbox: Sandbox, identifier: str, tenant: str, token: str, status: int
) -> None:
    values = {"id": any_client.create()["interactionId"], "token": any_client.token}
    path = f"/interactions/{identifier}/streams?tenant-name={tenant}&token={token}".format(**values)
    with pytest.raises(InvalidStatus) as refusal:
        any_client.connect_url(any_client.endpoint.stream_url + path)
    assert refusal.value.response.status_code == status
    assert sandbox.stats()["sockets_refused"] == {str(status): 1}
    assert sandbox.stats()["sockets_opened"] == 0


def test_a_plain_request_is_told_to_upgrade(client: Client) -> None:
    created = client.create()
    url = created["websocketUrl"].replace("ws:", "http:") + f"&token=Bearer%20{client.token}"
    assert client.request("GET", url).status == 426


def test_two_sockets_on_one_interaction_are_counted(client: Client, sandbox: Sandbox) -> None:
    created = client.create()
    with client.connect(created) as first, client.connect(created) as second:
        first.configure()
        second.configure()
        assert sandbox.stats(summary=True)["sockets_open"] == 2
        assert second.finish() == 1000
    assert sandbox.stats(summary=True)["overlaps"] == 1
    assert [record["stream_number"] for record in sandbox.stats()["streams"]] == [1, 2]
    with client.connect(created) as third:
        third.configure()
        third.finish()
    assert sandbox.stats(summary=True)["overlaps"] == 1
    assert sandbox.stats(summary=True)["max_sockets_open"] == 2
