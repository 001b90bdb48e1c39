"""Setting up a stream with websocket-client: TCP, TLS and upgrade, on the job's own thread."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from socket import SO_KEEPALIVE, SOL_SOCKET, socket
from urllib.parse import quote

import websocket

from worker.clock import Clock
from worker.contract.errors import JobError, PermanentError, Reason, TokenRefused, TransientError
from worker.network.http_status import FORBIDDEN, TOO_MANY_REQUESTS, UNAUTHORIZED, passes, retry_after
from worker.protocol.token import Token
from worker.telemetry import trace

#: Exceptions of websocket-client and of sockets, most specific first; websocket-client raises ValueError for
#: a bad URL. A refused upgrade (`WebSocketBadStatusException`) is mapped by its HTTP status instead.
FAILURES: tuple[tuple[type[BaseException], type[JobError], Reason, str], ...] = (
    (
        websocket.WebSocketTimeoutException,
        TransientError,
        Reason.UPSTREAM_UNAVAILABLE,
        "no answer to the upgrade in time",
    ),
    (websocket.WebSocketProxyException, TransientError, Reason.UPSTREAM_UNAVAILABLE, "the proxy refused"),
    (
        websocket.WebSocketAddressException,
        TransientError,
        Reason.UPSTREAM_UNAVAILABLE,
        "its name did not resolve",
    ),
    (websocket.WebSocketException, TransientError, Reason.UPSTREAM_UNAVAILABLE, "the upgrade failed"),
    (ssl.SSLError, TransientError, Reason.UPSTREAM_UNAVAILABLE, "TLS failed; see CORTI_CA_FILE"),
    (TimeoutError, TransientError, Reason.UPSTREAM_UNAVAILABLE, "no connection in time"),
    (OSError, TransientError, Reason.UPSTREAM_UNAVAILABLE, "no connection"),
    (ValueError, TransientError, Reason.UPSTREAM_UNAVAILABLE, "its URL is not usable"),
)


@contextmanager
def mapped(clock: Clock) -> Iterator[None]:
    """Turn the exceptions of websocket-client into ours, by table."""
    try:
        yield
    except websocket.WebSocketBadStatusException as error:
        headers = error.resp_headers or {}
        raise _refusal(error.status_code, headers.get("retry-after"), clock.wall()) from None
    except (websocket.WebSocketException, OSError, ValueError) as error:
        for kind, ours, reason, text in FAILURES:
            if isinstance(error, kind):
                # `from None`: the text of the cause may hold the URL, and that holds the token.
                raise ours(reason, f"stream: {text} ({type(error).__name__})") from None
        raise


def connect(url: str, token: Token, context: ssl.SSLContext | None, timeout: float, clock: Clock) -> socket:
    """Open a WebSocket and hand out its socket, non-blocking, just after the upgrade.

    The request carries the `traceparent` of the thread's current span, as requests to the API do.

    Args:
        url: The interaction's stream URL (PROTOCOL.md 4.1); the token is appended as said there.
        token: The access token.
        context: TLS settings, shared by all streams: a context of its own costs each stream 20 ms and 869 kB.
        timeout: Seconds for each step.
        clock: For time.

    Raises:
        TokenRefused: The service answered 401.
        JobError: Anything else.
    """
    separator = "&" if "?" in url else "?"
    with mapped(clock):
        connection = websocket.create_connection(
            f"{url}{separator}token=Bearer%20{quote(token.value, safe='')}",
            timeout=timeout,
            header=trace.headers(),
            sslopt={"context": context} if context else {},
            sockopt=((SOL_SOCKET, SO_KEEPALIVE, 1),),
            suppress_origin=True,
            redirect_limit=0,
        )
        sock: socket = connection.sock
        # The caller owns the socket now: websocket-client must not close it when its object is freed.
        connection.sock = None
        connection.frame_buffer = None  # it refers to the connection: the cycle would stay in memory for long
        sock.setblocking(False)
        return sock


def _refusal(status: int, wanted: str | None, now: datetime) -> JobError:
    """What the HTTP status of a refused upgrade means (PROTOCOL.md 4.1)."""
    wait = retry_after(wanted, now)
    text = f"stream: the upgrade was refused with HTTP {status}"
    if status == UNAUTHORIZED:
        return TokenRefused(text)
    if status == FORBIDDEN:
        return PermanentError(Reason.FORBIDDEN, f"{text}: this client may not stream for this tenant")
    if status == TOO_MANY_REQUESTS:
        return TransientError(Reason.RATE_LIMITED, text, wait)
    if passes(status):
        return TransientError(Reason.UPSTREAM_UNAVAILABLE, text, wait)
    return PermanentError(Reason.STREAM_REFUSED, text)
