"""Pages of a local HTTP server that give parts of a file, and pages that break off or lie."""

import os
import re
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.contract.web_host import Page

#: As files at servers have them: in the past, and a second apart from `Date`.
LONG_AGO = "Tue, 24 Nov 2026 10:00:00 GMT"
TAG = '"one"'
_PIECE = 1 << 20

#: Ends a body after so many bytes of it have been sent.
Break = Callable[[BaseHTTPRequestHandler], None]


def ends(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection, as a server does that is stopped."""
    handler.close_connection = True


def resets(handler: BaseHTTPRequestHandler) -> None:
    """Abort the connection, after what was sent has been read."""
    threading.Event().wait(0.2)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    # The handler has files of this socket, so that closing it would close nothing.
    os.dup2(os.open(os.devnull, os.O_RDWR), handler.connection.fileno())


def stalls(handler: BaseHTTPRequestHandler) -> None:
    """Send nothing more, for longer than the tests' sources wait."""
    threading.Event().wait(3)
    handler.close_connection = True


def sends_no_tls(handler: BaseHTTPRequestHandler) -> None:
    """Send what is no record of TLS."""
    handler.wfile.flush()
    os.write(handler.connection.fileno(), b"HTTP/1.1 400 no TLS here, and long enough")
    handler.close_connection = True


def giving(
    body: Any,
    *,
    breaks: Break | None = None,
    after: int = 1 << 60,
    times: int = 1 << 60,
    **headers: Any,
) -> Page:
    """A page that gives a file, or the part of it that is asked for.

    Args:
        body: Of the file; anything with a length and slices.
        breaks: How a body ends that has more bytes than `after`.
        after: See `breaks`.
        times: How often that happens.
        headers: Instead of those of a well-behaved server, `_` for each `-`; None for none.
    """
    head = {"Accept_Ranges": "bytes", "ETag": TAG, "Last_Modified": LONG_AGO, **headers}
    left = [times]

    def page(handler: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range")
        begin, end = 0, len(body)
        if asked is not None and condition in {None, head["ETag"], head["Last_Modified"]}:
            begin = int(asked[1])
            end = min(end, int(asked[2]) + 1) if asked[2] else end
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(body)}")
        else:
            handler.send_response(200)
        for name, value in head.items():
            if value is not None:
                handler.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in head:
            handler.send_header("Content-Length", str(end - begin))
        handler.end_headers()
        breaking = breaks is not None and end - begin > after and left[0] > 0
        stop = begin + after if breaking else end
        for at in range(begin, stop, _PIECE):
            handler.wfile.write(body[at : min(at + _PIECE, stop)])
        if breaking and breaks is not None:
            left[0] -= 1
            breaks(handler)

    return page


def in_turn(*pages: Page) -> Page:
    """The first request gets the first page, and so on; the last one serves all that follow."""
    left = list(pages)

    def page(handler: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(handler)

    return page


class Long:
    """So many bytes that nobody wants to hold them: each MiB is the same."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._two = bytes(range(256)) * (2 * _PIECE // 256)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, where: slice) -> memoryview:
        begin, end, _ = where.indices(self._size)
        offset = begin % _PIECE
        return memoryview(self._two)[offset : offset + end - begin]
