"""Health and metrics over HTTP: `/livez`, `/readyz`, `/startupz`, `/metrics`, `/status`.

Liveness asks only whether our own loops turn, and no dependency: a broker outage must not restart
every pod. Readiness says which dependency is missing. Startup is over when the process has made all its
parts; it asks no dependency either: a pod that starts in an outage must wait until the outage is over.
"""

import json
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import structlog

from worker.clock import Clock
from worker.concurrency.background import BackgroundThread
from worker.concurrency.heartbeat import Heartbeat

log = structlog.get_logger(__name__)

#: A check returns None when all is well, else one static sentence that says what is missing.
Check = Callable[[], str | None]

#: A client that does not finish its request in this time is cut off: each client holds a thread.
_CLIENT_SECONDS = 10


class HealthServer(AbstractContextManager["HealthServer"]):
    """Serves the checks and the metrics from a thread of its own.

    Args:
        host: Address to bind.
        port: Port to bind; 0 picks a free one.
        clock: For time.
        live: Checks behind `/livez`, by name.
        ready: Checks behind `/readyz`, by name.
        metrics: Gives the content type and text of the metrics for an `Accept` header.
        started: Checks behind `/startupz`, by name.
        status: Gives what `/status` shows, as a JSON object.
    """

    def __init__(
        self,
        host: str,
        port: int,
        clock: Clock,
        live: Mapping[str, Check],
        ready: Mapping[str, Check],
        metrics: Callable[[str], tuple[str, bytes]],
        started: Mapping[str, Check] = {},
        status: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        pages: dict[str, Callable[[str], tuple[int, str, bytes]]] = {
            "/livez": lambda _: _verdict(live),
            "/readyz": lambda _: _verdict(ready),
            "/startupz": lambda _: _verdict(started),
            "/metrics": lambda accept: (200, *metrics(accept)),
            "/status": lambda _: (200, "application/json", json.dumps(status(), indent=2).encode() + b"\n"),
        }

        class Handler(BaseHTTPRequestHandler):
            timeout = _CLIENT_SECONDS

            def do_GET(self) -> None:
                page = pages.get(self.path.partition("?")[0])
                accept = ", ".join(self.headers.get_all("Accept", []))
                status, kind, body = page(accept) if page else (404, "text/plain", b"no such page\n")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Log nothing: probes come every few seconds, and nobody wants to read them."""

        self._server = _Server((host, port), Handler)
        self._server.daemon_threads = True
        # Nobody looks at this heartbeat: if the thread has ended, no probe gets an answer.
        self._thread = BackgroundThread("health", self._server.serve_forever, Heartbeat(clock))

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # The server checks only twice a second whether to stop; an event on its socket wakes it at once.
        with suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A request broke; Python would print the exception's text."""
        error = sys.exc_info()[0]
        log.warning("health_request_broke", error=error.__name__ if error else None)


def _verdict(checks: Mapping[str, Check]) -> tuple[int, str, bytes]:
    # A copy, because the process may add checks meanwhile: it is asked already while it starts.
    findings = {name: check() for name, check in dict(checks).items()}
    lines = [f"{name}: {finding or 'ok'}" for name, finding in findings.items()]
    status = 503 if any(findings.values()) else 200
    return status, "text/plain; charset=utf-8", ("\n".join(lines) + "\n").encode()
