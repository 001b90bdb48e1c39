"""Downloads: only from allowed hosts, up to a size limit, at a minimum speed, in spite of broken connections.

A download begins with one request for the whole file. If its connection breaks, another request asks for the
rest (`worker/audio/span.py`). Where the server announces that it gives parts, the audio can also be read at
any offset (`worker/audio/ranges.py`).
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from worker.audio.blocking import BlockingCalls
from worker.audio.failures import refusal, too_large
from worker.audio.parts import State, encoded, gives_ranges, length
from worker.audio.ranges import Ranges
from worker.audio.reading import Source, reader
from worker.audio.remote import WHOLE, Limit, RemoteFile
from worker.audio.requesting import Requester, Resolve
from worker.audio.sockets import Wait
from worker.audio.span import Span
from worker.clock import Clock
from worker.concurrency.interrupt import Interrupt
from worker.network.hosts import HostRules

#: A file of the largest size can be read once from its beginning to its end after its index was looked for.
#: Without a limit, a file whose index leads to and fro could have itself downloaded a thousand times.
_RANGES_OVER_LIMIT = 2


class Downloads:
    """Downloads audio. One object serves all job threads.

    Args:
        rules: Which hosts are allowed.
        calls: Makes look-ups of names.
        clock: For time.
        context: TLS settings, for downloads alone.
        timeout: Seconds until a server must have answered, redirects included; also the longest silence.
        least_speed: Seconds of audio that each second of waiting must bring; 0 for no limit.
        max_bytes: The largest download.
        resolve: Looks up names.
    """

    def __init__(
        self,
        rules: HostRules,
        calls: BlockingCalls,
        clock: Clock,
        *,
        context: ssl.SSLContext,
        timeout: float,
        least_speed: float,
        max_bytes: int,
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._least_speed = least_speed
        self._max_bytes = max_bytes
        self._requester = Requester(rules, calls, context, timeout, resolve)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._requester.close()

    @contextmanager
    def open(self, url: str, interrupt: Interrupt) -> Iterator[Source]:
        """Begin a download.

        Raises:
            JobError: `audio_unreachable`, also while it is read.
            Interrupted: By `interrupt`, also while it is read.
        """
        wait = Wait(interrupt, self._clock, self._timeout, self._least_speed)
        with wait:
            response = self._requester.get(url, {})
        headers = response.headers
        size = None if encoded(headers) else length(headers)
        file = RemoteFile(self._requester, url, State.of(headers), wait, self._clock)
        span = Span(file, 0, size, Limit(self._max_bytes).count, response)
        try:
            if response.status_code not in WHOLE:
                raise refusal(response, self._clock.wall())
            if (length(headers) or 0) > self._max_bytes:
                raise too_large()
            wait.answered()
            ranges = None
            if file.state is not None and gives_ranges(headers):
                limit = Limit(_RANGES_OVER_LIMIT * self._max_bytes)
                ranges = Ranges(file, file.state.size, limit.count, first=span.close)
            yield Source(
                reader(iter(span.take, b"")),
                headers.get("Content-Type"),
                at_hand=False,
                heard=wait.speed.heard,
                size=size,
                read_at=None if ranges is None else ranges.read_at,
            )
        finally:
            span.close()
