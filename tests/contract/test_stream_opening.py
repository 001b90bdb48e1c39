"""Streams that cannot be opened: the server refuses, is not trusted, is away, or speaks no WebSocket."""

import socket
import ssl
import threading
import time
from contextlib import closing
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
import websocket

from ops.sandbox.launch import Sandbox
from tests.contract.corti_side import as_token, corti_side
from tests.contract.secrecy import assert_silent
from tests.contract.studio import Studio, studio, talk_failure
from tests.fakes import FakeClock
from worker.contract.errors import JobError, PermanentError, Reason, TokenRefused, TransientError
from worker.corti.stream.handshake import mapped
from worker.jobs.ports import Interaction
from worker.telemetry import trace


def refused_at(sandbox: Sandbox, url: str) -> JobError:
    """Open a stream at another URL, which must fail; return the error."""
    token = as_token("opaque-secret")
    with corti_side(sandbox, secure=False) as side, studio(side, connect_timeout=0.5) as room:
        with pytest.raises(JobError) as failure:
            room.streams.open(Interaction("1", url), token, "{}")
        assert room.pacer.open_streams == 0
    assert_silent(failure.value, "opaque-secret", "OpenSSH", "elsewhere")
    return failure.value


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, PermanentError, Reason.STREAM_REFUSED),
        (401, TokenRefused, Reason.AUTH_REJECTED),
        (403, PermanentError, Reason.FORBIDDEN),
        (404, PermanentError, Reason.STREAM_REFUSED),
        (408, TransientError, Reason.UPSTREAM_UNAVAILABLE),
        (425, TransientError, Reason.UPSTREAM_UNAVAILABLE),
        (429, TransientError, Reason.RATE_LIMITED),
        (500, TransientError, Reason.UPSTREAM_UNAVAILABLE),
        (502, TransientError, Reason.UPSTREAM_UNAVAILABLE),
        (503, TransientError, Reason.UPSTREAM_UNAVAILABLE),
        (504, TransientError, Reason.UPSTREAM_UNAVAILABLE),
    ],
)
def test_a_refused_upgrade_has_a_meaning(
    sandbox: Sandbox, room: Studio, status: int, kind: type[JobError], reason: Reason
) -> None:
    sandbox.fault("upgrade_refused", status=status)
    error = talk_failure(room)
    assert (type(error), error.reason) == (kind, reason)


@pytest.mark.parametrize(("status", "seconds"), [(429, 7.0), (503, 7.0), (503, None)])
def test_a_retry_after_of_a_refused_upgrade_is_passed_on(
    sandbox: Sandbox, room: Studio, status: int, seconds: float | None
) -> None:
    sandbox.fault("upgrade_refused", status=status, retry_after=seconds)
    error = talk_failure(room)
    assert isinstance(error, TransientError)
    assert error.retry_after == seconds


def test_a_retry_after_may_be_a_date() -> None:
    clock = FakeClock()
    headers = {"retry-after": format_datetime(clock.wall() + timedelta(seconds=90), usegmt=True)}
    with pytest.raises(TransientError) as failure, mapped(clock):
        raise websocket.WebSocketBadStatusException("Handshake status %d %s", 503, "away", headers)
    assert failure.value.retry_after == 90.0


def test_a_revoked_token_is_refused_at_the_upgrade(sandbox: Sandbox, room: Studio) -> None:
    interaction = room.interaction()
    sandbox.fault("revoke_tokens")
    assert isinstance(talk_failure(room, interaction=interaction), TokenRefused)


def test_a_certificate_of_an_unknown_authority_is_refused_and_the_setting_named(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    with corti_side(sandbox) as side:
        side.context = ssl.create_default_context(cafile=str(stranger))
        with studio(side) as room:
            error = talk_failure(room)
    assert isinstance(error, TransientError)
    assert "CORTI_CA_FILE" in error.detail


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/elsewhere\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1 503 Away\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n",
        b"HTTP/1.1 101 \xff\r\n\r\n",
    ],
)
def test_a_server_that_is_no_websocket_server_is_an_error_of_ours(sandbox: Sandbox, reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with closing(listener.accept()[0]) as connection:
                connection.recv(65536)
                connection.sendall(reply)

        server = threading.Thread(target=serve)
        server.start()
        error = refused_at(sandbox, f"ws://127.0.0.1:{listener.getsockname()[1]}/streams?tenant-name=base")
        server.join()
    assert error.reason in {Reason.UPSTREAM_UNAVAILABLE, Reason.STREAM_REFUSED}


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:1/streams",
        "ws://127.0.0.1:99999/streams",
        "ws:///streams",
        "ws://[::1/streams",
        "http://127.0.0.1:1/streams",
        "streams",
        "ws://name.invalid/streams",
    ],
)
def test_a_url_that_leads_nowhere_is_an_error_of_ours(sandbox: Sandbox, url: str) -> None:
    assert refused_at(sandbox, url).reason is Reason.UPSTREAM_UNAVAILABLE


def test_a_server_that_does_not_answer_the_upgrade_is_given_up_in_time(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        error = refused_at(sandbox, f"ws://127.0.0.1:{listener.getsockname()[1]}/streams")
    assert error.reason is Reason.UPSTREAM_UNAVAILABLE
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("traceparent", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None])
def test_the_upgrade_passes_the_trace_on_if_there_is_one(sandbox: Sandbox, traceparent: str | None) -> None:
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with closing(listener.accept()[0]) as connection:
                while not b"".join(requests).endswith(b"\r\n\r\n"):
                    requests.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 503 Away\r\n\r\n")

        server = threading.Thread(target=serve)
        server.start()
        with trace.within(traceparent):
            refused_at(sandbox, f"ws://127.0.0.1:{listener.getsockname()[1]}/streams")
        server.join()
    lines = b"".join(requests).decode().split("\r\n")
    assert [line for line in lines if line.lower().startswith("traceparent")] == (
        [f"traceparent: {traceparent}"] if traceparent else []
    )
