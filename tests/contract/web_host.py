"""A local HTTP server whose pages are functions, so that it can behave badly."""

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

#: A function that answers one request with the handler's methods.
Page = Callable[[BaseHTTPRequestHandler], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: some tests let the client leave in the middle."""


class WebHost:
    """Serves pages by their path on 127.0.0.1; keeps the requests' header lines.

    Args:
        context: Serve over TLS, with this certificate.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        pages: dict[str, Page] = {}
        seen: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(size)
                seen.append(dict(self.headers))
                pages[self.path](self)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.pages = pages
        self.seen = seen
        self._server = _Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def add(self, path: str, page: Page) -> str:
        """Serve a page and return its URL."""
        self.pages[path] = page
        return self.url + path

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def answer(status: int, body: bytes = b"", **headers: str) -> Page:
    """A page with a body of known length."""

    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return page
