"""A plain client for tests of the server; it shares no code with the server or the worker."""

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed

from ops.sandbox.launch import Sandbox
from tests.websocket_client import ClientSocket

SECONDS = 15.0


def configuration(**changes: Any) -> dict[str, Any]:
    """A valid configuration: transcription mode, PCM."""
    return {
        "transcription": {"primaryLanguage": "en", "participants": [{"channel": 0, "role": "multiple"}]},
        "mode": {"type": "transcription"},
        "audioFormat": "audio/pcm; rate=16000; channels=1; bits=16",
        **changes,
    }


def facts_mode(interval: str = "fixed") -> dict[str, Any]:
    """The ``mode`` of a stream that wants facts."""
    return {"type": "facts", "outputLocale": "en", "factGenerationInterval": interval}


@dataclass
class Answer:
    """A REST reply."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Conversation:
    """One socket, with everything it received."""

    def __init__(self, socket: ClientSocket) -> None:
        self.messages: list[dict[str, Any]] = []
        self.socket = socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def say(self, kind: str, **rest: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **rest}))

    def configure(self, wanted: dict[str, Any] | None = None) -> dict[str, Any]:
        self.say("config", configuration=wanted or configuration())
        return self.next()

    def send(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.socket.send(piece)

    def next(self, seconds: float = SECONDS) -> dict[str, Any]:
        raw = self.socket.recv(seconds)
        message = json.loads(raw)
        assert isinstance(message, dict)
        self.messages.append(message)
        return message

    def until(self, kind: str) -> dict[str, Any]:
        while True:
            message = self.next()
            if message["type"] == kind:
                return message

    def drain(self) -> int:
        """Read until the server closes and return the close code; 1006 without a handshake."""
        try:
            while True:
                self.next()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    def finish(self) -> int:
        """End the stream and read to the close."""
        # A server that gives up may close before our `end` is sent; its messages are still to be read.
        with suppress(ConnectionClosed):
            self.say("end")
        return self.drain()

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    @property
    def segments(self) -> list[dict[str, Any]]:
        return [
            one for message in self.messages if message["type"] == "transcript" for one in message["data"]
        ]

    @property
    def facts(self) -> list[dict[str, Any]]:
        return [one for message in self.messages if message["type"] == "facts" for one in message["fact"]]


@dataclass
class Client:
    """Speaks to one sandbox over plain text or over TLS."""

    sandbox: Sandbox
    secure: bool = False
    tenant: str = "base"
    context: ssl.SSLContext | None = None
    _token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        endpoint = self.sandbox.info.https if self.secure else self.sandbox.info.http
        assert endpoint is not None
        self.endpoint = endpoint
        if self.secure:
            self.context = ssl.create_default_context(cafile=self.sandbox.info.ca_file)

    def request(
        self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        handlers: list[Any] = [urllib.request.ProxyHandler({})]
        if self.context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=self.context))
        request = urllib.request.Request(url, body, headers or {}, method=method)  # noqa: S310
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=SECONDS) as reply:
                return Answer(reply.status, dict(reply.headers), reply.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read().decode())

    def ask_token(
        self, *, realm: str | None = None, basic: str | None = None, **changes: str | None
    ) -> Answer:
        info = self.sandbox.info
        form: dict[str, str | None] = {
            "client_id": info.client_id,
            "client_secret": info.client_secret,
            "grant_type": "client_credentials",
            "scope": "openid",
            **changes,
        }
        body = urllib.parse.urlencode(
            {key: value for key, value in form.items() if value is not None}
        ).encode()
        url = f"{self.endpoint.auth_url}/realms/{realm or self.tenant}/protocol/openid-connect/token"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request(
            "POST", url, body, headers | ({"Authorization": f"Basic {basic}"} if basic else {})
        )

    @property
    def token(self) -> str:
        if not self._token:
            self._token = self.ask_token().json["access_token"]
        return self._token

    def forget_token(self) -> None:
        self._token = ""

    def rest(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        given = {
            "Authorization": f"Bearer {self.token}",
            "Tenant-Name": self.tenant,
            "Content-Type": "application/json",
        } | {key.replace("_", "-"): value for key, value in headers.items()}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        kept = {key: value for key, value in given.items() if value is not None}
        return self.request(method, self.endpoint.api_url + path, data, kept)

    def create(self, identifier: str | None = None) -> dict[str, Any]:
        encounter = {
            "identifier": identifier or str(uuid.uuid4()),
            "status": "planned",
            "type": "first_consultation",
        }
        answer = self.rest("POST", "/interactions/", {"encounter": encounter})
        assert answer.status == 201, answer
        created = answer.json
        assert isinstance(created, dict)
        return created

    def connect(self, created: dict[str, Any]) -> Conversation:
        return self.connect_url(f"{created['websocketUrl']}&token=Bearer%20{self.token}")

    def connect_url(self, url: str) -> Conversation:
        return Conversation(ClientSocket(url, self.context))

    def open(self, wanted: dict[str, Any] | None = None, identifier: str | None = None) -> Conversation:
        """Create an interaction, connect and configure."""
        conversation = self.connect(self.create(identifier))
        assert conversation.configure(wanted)["type"] == "CONFIG_ACCEPTED"
        return conversation
