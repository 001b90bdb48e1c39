"""Every misbehaviour, seen from outside."""

import json
import time
import urllib.error
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.sandbox.fault_table import FAULTS
from ops.sandbox.launch import Sandbox, start
from tests.sandbox.client import Client, Conversation, configuration, facts_mode
from tests.sandbox.sound import chunks, silence, tone

SPEECH = chunks((tone(1) + silence(1)).tobytes())


def talk(client: Client, created: dict[str, Any] | None = None, **config: Any) -> tuple[Conversation, int]:
    """Send two seconds with one segment, end, and return everything with the close code."""
    with client.connect(created or client.create()) as conversation:
        conversation.configure(configuration(**config))
        conversation.send(SPEECH)
        return conversation, conversation.finish()


def cut_off(client: Client, method: str, path: str, body: Any = None) -> bool:
    try:
        client.rest(method, path, body)
    except (urllib.error.URLError, ConnectionError):
        return True
    return False


def test_the_readme_tells_of_every_fault() -> None:
    readme = (Path(__file__).parents[2] / "ops" / "sandbox" / "README.md").read_text()
    missing = [name for name in FAULTS if f"`{name}`" not in readme]
    assert missing == []


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "unheard_of"},
        {"name": "close_code", "code": "1011"},
        {"name": "close_code", "code": 99},
        {"name": "close_code", "count": 0},
        {"name": "close_code", "speed": 3},
        {"name": "garbage_message", "kind": "poem"},
        {"name": "error_message", "fatal": "yes"},
        {"name": "go_silent", "after_seconds": -1},
        {"name": "quota", "tenant": 5},
        {},
        [],
    ],
)
def test_a_bad_fault_is_refused(client: Client, fault: Any) -> None:
    url = client.sandbox.info.stats_url.replace("stats", "faults")
    answer = client.request("POST", url, json.dumps([fault]).encode())
    assert answer.status == 400
    assert client.sandbox.faults() == []


def test_put_replaces_and_delete_clears(client: Client, sandbox: Sandbox) -> None:
    url = sandbox.info.stats_url.replace("stats", "faults")
    sandbox.fault("quota")
    sandbox.fault("no_ended", count=2)
    assert [fault["name"] for fault in sandbox.faults()] == ["quota", "no_ended"]
    sandbox.clear_faults("quota")
    assert sandbox.faults() == [{"name": "no_ended", "count": 2, "used": 0}]
    client.request("PUT", url, b'{"name": "never_ends"}')
    assert [fault["name"] for fault in sandbox.faults()] == ["never_ends"]
    sandbox.clear_faults()
    assert sandbox.faults() == []


def test_count_tenant_and_encounter_limit_a_fault(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("api_error", tenant="other")
    assert client.rest("GET", "/interactions/").status == 200
    mark = str(time.monotonic())
    sandbox.fault("api_error", encounter=f"bad-{mark}", count=1)
    client.create(f"good-{mark}")
    encounter = {"identifier": f"bad-{mark}-1", "status": "planned", "type": "consultation"}
    statuses = [client.rest("POST", "/interactions/", {"encounter": encounter}).status for _ in range(2)]
    assert statuses == [500, 201]
    assert sandbox.faults()[1]["used"] == 1


def test_auth_down_and_auth_error(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("auth_down", count=1)
    sandbox.fault("auth_error", status=429, error="slow_down", retry_after=3, count=1)
    assert client.ask_token().status == 503
    answer = client.ask_token()
    assert (answer.status, answer.json, answer.headers["Retry-After"]) == (429, {"error": "slow_down"}, "3")
    sandbox.fault("auth_down", how="cut", count=1)
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        client.ask_token()
    assert client.ask_token().status == 200


def test_revoked_tokens_are_refused_and_new_ones_are_not(client: Client, sandbox: Sandbox) -> None:
    created = client.create()
    with client.connect(created) as conversation:
        conversation.configure()
        sandbox.fault("revoke_tokens")
        assert client.rest("GET", "/interactions/").status == 401
        with pytest.raises(InvalidStatus, match="401"):
            client.connect(created)
        # A token is checked at the handshake only: the open stream goes on.
        assert conversation.finish() == 1000
    client.forget_token()
    assert client.rest("GET", "/interactions/").status == 200


def test_a_rotated_secret() -> None:
    with start(tls_port=None) as sandbox:
        client = Client(sandbox)
        sandbox.fault("rotate_secret", secret="next")
        assert client.ask_token().status == 401
        assert client.ask_token(client_secret="next").status == 200


def test_api_error_hits_one_operation(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("api_error", operation="list_interactions", status=503, retry_after=2, count=1)
    assert client.create()
    answer = client.rest("GET", "/interactions/")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert client.rest("GET", "/interactions/").status == 200


def test_the_two_meanings_of_429(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("quota", count=1)
    sandbox.fault("rate_limit", retry_after=1.5, count=1)
    quota = client.rest("POST", "/interactions/", {})
    assert quota.status == 429
    assert quota.json["type"].endswith("A0021")
    assert "insufficient balance" in quota.json["detail"]
    assert "Retry-After" not in quota.headers
    limit = client.rest("POST", "/interactions/", {})
    assert (limit.status, limit.headers["Retry-After"]) == (429, "1.5")
    assert not limit.json["type"].endswith("A0021")


def test_api_cut_and_slow_api(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("api_cut", count=1)
    assert client.token
    assert cut_off(client, "GET", "/interactions/")
    sandbox.fault("slow_api", seconds=0.3, count=1)
    began = time.monotonic()
    assert client.rest("GET", "/interactions/").status == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("how", ["status", "cut"])
def test_a_lost_create_has_created(client: Client, sandbox: Sandbox, how: str) -> None:
    body = {"encounter": {"identifier": f"lost-{how}", "status": "planned", "type": "consultation"}}
    sandbox.fault("lost_create", how=how, count=1)
    assert client.token
    if how == "cut":
        assert cut_off(client, "POST", "/interactions/", body)
    else:
        assert client.rest("POST", "/interactions/", body).status == 500
    assert client.rest("POST", "/interactions/", body).status == 409
    assert sandbox.stats()["interactions_created"] == 1


def test_create_with_200(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("create_status_200")
    body = {"encounter": {"identifier": "two-hundred", "status": "planned", "type": "consultation"}}
    assert client.rest("POST", "/interactions", body).status == 200


def test_upgrade_refused(client: Client, sandbox: Sandbox) -> None:
    created = client.create()
    sandbox.fault("upgrade_refused", status=429, count=1)
    with pytest.raises(InvalidStatus, match="429"):
        client.connect(created)
    assert talk(client, created)[1] == 1000


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
        assert conversation.socket.ping().wait(5), "only the protocol is silent"


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
            assert conversation.socket.ping().wait(5), "not yet"
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
        assert not pong.is_set()
        assert sandbox.stats()["sockets_open"] == 1
        conversation.socket.socket.close()
    deadline = time.monotonic() + 5
    while sandbox.stats()["sockets_open"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sandbox.stats()["sockets_open"] == 0, "the server notices that the peer has gone"


def test_slow_reader(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("slow_reader", seconds=0.05)
    began = time.monotonic()
    assert talk(client)[1] == 1000
    assert time.monotonic() - began >= 0.05 * len(SPEECH)


def test_an_error_message_and_life_after_it(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("error_message", status=503, title="Busy", after_seconds=0.5)
    conversation, closed = talk(client)
    assert conversation.types == ["CONFIG_ACCEPTED", "error", "transcript", "usage", "ENDED"]
    assert (conversation.messages[1]["error"]["status"], closed) == (503, 1000)


def test_a_fatal_error_message(client: Client, sandbox: Sandbox) -> None:
    sandbox.fault("error_message", fatal=True, after_seconds=0.5)
    conversation, closed = talk(client)
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
        raw = conversation.socket.recv(timeout=5)
        assert isinstance(raw, bytes) is (kind == "binary")
        if kind == "unknown_type":
            assert json.loads(raw)["type"] not in ("transcript", "facts", "usage")
        assert conversation.next()["type"] == "transcript"
        assert conversation.finish() == 1000
