"""The bench's load server: it speaks Corti's protocol, counts correctly, and hides no lateness."""

import itertools
import json
import ssl
import statistics
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from ops.benchmarks.native.build import available, build
from ops.benchmarks.native.server import LoadServer
from tests.conftest import require
from tests.websocket_client import ClientSocket

CONFIG = {
    "type": "config",
    "configuration": {
        "transcription": {"primaryLanguage": "en", "participants": [{"channel": 0, "role": "multiple"}]},
        "mode": {"type": "facts", "outputLocale": "en"},
        "audioFormat": "audio/pcm; rate=16000; channels=1; bits=16",
    },
}
CHUNK = bytes(8000)


@pytest.fixture(scope="module")
def shared() -> Iterator[LoadServer]:
    require(*available())
    with LoadServer() as server:
        yield server


@pytest.fixture
def server(shared: LoadServer) -> LoadServer:
    shared.reset()
    return shared


class Client:
    def __init__(self, server: LoadServer) -> None:
        self.server = server
        self.context = ssl.create_default_context(cafile=str(server.ca_file))
        self.token = ""

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.context)
        )
        request = urllib.request.Request(self.server.url + path, body, headers, method=method)  # noqa: S310
        try:
            with opener.open(request, timeout=5) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get("WWW-Authenticate")

    def authenticate(self) -> dict[str, Any]:
        form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b", "scope": "openid"}
        path = "/realms/base/protocol/openid-connect/token"
        status, answer = self.call("POST", path, urllib.parse.urlencode(form).encode())
        assert status == 200
        self.token = answer["access_token"]
        return dict(answer)

    def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        return self.call(method, f"/v2{path}", data, Authorization=f"Bearer {self.token}")

    def create(self, identifier: str) -> dict[str, str]:
        body = {"encounter": {"identifier": identifier, "status": "planned", "type": "consultation"}}
        status, answer = self.api("POST", "/interactions/", body)
        assert status == 201
        return dict(answer)

    @contextmanager
    def stream(self, identifier: str) -> Iterator[ClientSocket]:
        token = urllib.parse.quote(f"Bearer {self.token}", safe="")
        url = f"{self.create(identifier)['websocketUrl']}&token={token}"
        with ClientSocket(url, self.context, compression=False) as socket:
            socket.send(json.dumps(CONFIG))
            assert json.loads(socket.recv(5)) == {**CONFIG, "type": "CONFIG_ACCEPTED"}
            yield socket


@pytest.fixture
def client(server: LoadServer) -> Client:
    client = Client(server)
    client.authenticate()
    return client


def until_closed(socket: ClientSocket) -> list[dict[str, Any]]:
    messages = [json.loads(message) for message in socket.until_closed()]
    assert socket.close_code == 1000
    return messages


def test_a_program_is_built_once() -> None:
    require(*available())
    path = build("loadserver")
    built = path.stat().st_mtime_ns
    assert build("loadserver") == path
    assert path.stat().st_mtime_ns == built


def test_tokens_are_accepted_until_they_expire() -> None:
    require(*available())
    with LoadServer(token_lifetime=0.5) as server:
        client = Client(server)
        assert client.api("GET", "/interactions/") == (401, 'Bearer error="invalid_token"')
        assert client.authenticate()["expires_in"] == 0.5
        assert client.api("GET", "/interactions/") == (200, {"interactions": []})
        created = client.create("one")
        time.sleep(0.6)
        assert client.api("GET", "/interactions/")[0] == 401
        url = f"{created['websocketUrl']}&token=Bearer%20{client.token}"
        with pytest.raises(InvalidStatus) as refused, ClientSocket(url, client.context):
            pass
        assert refused.value.response.status_code == 401
        assert (server.stats()["tokens"], server.stats()["interactions"]) == (1, 1)


def test_interactions_are_found_again_newest_first(client: Client) -> None:
    made = [client.create(name)["interactionId"] for name in ("first", 'with "quotes"', "third")]
    assert len(set(made)) == 3
    page = client.api("GET", "/interactions/?sort=createdAt&pageSize=2&index=1")[1]["interactions"]
    assert [(one["id"], one["encounter"]["identifier"]) for one in page] == [
        (made[2], "third"),
        (made[1], 'with "quotes"'),
    ]
    assert client.api("GET", f"/interactions/{made[0]}")[1]["encounter"]["identifier"] == "first"
    assert client.api("GET", "/interactions/00000000-0000-4000-8000-000000000000")[0] == 404
    assert client.api("POST", "/interactions/", {"encounter": {}})[0] == 400


def test_a_consultation_from_config_to_close(server: LoadServer, client: Client) -> None:
    began = time.monotonic()
    with client.stream("whole") as socket:
        assert server.stats()["open"] == 1
        for _ in range(9):
            socket.send(CHUNK)
        socket.send(json.dumps({"type": "flush"}))
        socket.send(json.dumps({"type": "end"}))
        messages = until_closed(socket)
    kinds = ["transcript", "transcript", "transcript", "flushed", "facts", "usage", "ENDED"]
    assert [message["type"] for message in messages] == kinds
    times = [message["data"][0]["time"] for message in messages[:3]]
    assert times == [{"start": 0, "end": 1}, {"start": 1, "end": 2}, {"start": 2, "end": 2.25}]
    assert messages[5]["credits"] == pytest.approx(2.25 / 60, abs=1e-4)
    stats = server.stats()
    wanted = {"open": 0, "opened": 1, "ended": 1, "failed": 0, "chunks": 9, "audio_bytes": 72_000}
    assert {name: stats[name] for name in wanted} == wanted
    record = server.streams()[-1]
    moments = ["created_at", "upgraded_at", "first_audio_at", "last_audio_at", "ended_at", "closed_at"]
    seen = [began, *(record[name] for name in moments), time.monotonic()]
    assert seen == sorted(seen), "the moments are not in order, or not of one clock"


def test_what_goes_wrong_is_answered_as_documented(server: LoadServer, client: Client) -> None:
    url = f"{client.create('wrong')['websocketUrl']}&token=Bearer%20{client.token}"
    with ClientSocket(url, client.context) as socket:
        socket.send(CHUNK)
        assert json.loads(socket.recv(5))["type"] == "CONFIG_MISSING"
        socket.send(json.dumps(CONFIG))
        assert json.loads(socket.recv(5))["type"] == "CONFIG_ACCEPTED"
        socket.send([json.dumps(CONFIG)[:100], json.dumps(CONFIG)[100:]])  # in fragments
        assert json.loads(socket.recv(5))["type"] == "CONFIG_ALREADY_RECEIVED"
        assert socket.answers_ping(5)
        socket.send([CHUNK[:3000], CHUNK[3000:]])
        socket.send(json.dumps({"type": "flush"}))
        assert [json.loads(socket.recv(5))["type"] for _ in range(2)] == ["transcript", "flushed"]
    stats = server.stats()
    assert (stats["failed"], stats["chunks"], stats["audio_bytes"]) == (1, 1, 8000)
    with ClientSocket(url, client.context) as socket:
        socket.send(json.dumps({"type": "config", "configuration": {}}))
        assert json.loads(socket.recv(5))["type"] == "CONFIG_DENIED"
        assert until_closed(socket) == []


def test_a_late_chunk_shows_even_if_the_first_one_was_late(server: LoadServer, client: Client) -> None:
    with client.stream("late") as socket:
        start = time.monotonic()
        sent = []
        # The first chunk is 40 ms late, which the server can tell from later ones. The sixth is 120 ms late.
        # On a busy machine, the others reach the server some milliseconds late, too.
        for number, late in enumerate([0.04, 0, 0, 0, 0, 0.12, 0, 0]):
            time.sleep(max(0, start + 0.25 * number + late - time.monotonic()))
            socket.send(CHUNK)
            sent.append(time.monotonic())
        time.sleep(0.05)
        stats = server.stats()
    lateness = stats["lateness"]
    assert lateness["n"] == 8
    # A busy machine delays chunks further. The server must report what happened, not what was planned.
    behind = [1000 * (at - 0.25 * number) for number, at in enumerate(sent)]
    longest = 1000 * max(after - before for before, after in itertools.pairwise(sent))
    assert lateness["max"] == pytest.approx(max(behind) - min(behind), abs=25)
    assert lateness["p50"] == pytest.approx(statistics.median(behind) - min(behind), abs=25)
    assert stats["longest_silence_ms"] == pytest.approx(longest, abs=25)
    assert lateness["max"] >= 60
    server.reset()
    assert server.stats()["lateness"] == {"n": 0, "p50": 0, "p90": 0, "p99": 0, "p999": 0, "max": 0}


def test_a_stream_that_falls_silent_shows(server: LoadServer, client: Client) -> None:
    with client.stream("silent") as socket:
        socket.send(CHUNK)
        # Longer than the asserted silence, which begins only when the chunk has arrived at the server.
        time.sleep(0.5)
        assert server.stats()["longest_silence_ms"] >= 400
