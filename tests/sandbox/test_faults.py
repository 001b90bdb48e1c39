"""How faults are defined, and the faults of authentication, REST and upgrade."""

import json
import time
import urllib.error
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from ops.sandbox.fault_table import FAULTS
from ops.sandbox.launch import Sandbox, start
from tests.sandbox.client import Client, Conversation, configuration
from tests.sandbox.sound import chunks, silence, tone

SPEECH = chunks((tone(1) + silence(1)).tobytes())


def talk(client: Client, created: dict[str, Any] | None = None, **config: Any) -> tuple[Conversation, int]:
    """Send two seconds of audio with one segment and the end; return the conversation and its close code."""
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
def test_a_lost_create_has_created_the_interaction(client: Client, sandbox: Sandbox, how: str) -> None:
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
