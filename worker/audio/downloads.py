"""Downloads with `requests`: only from allowed hosts, up to a size limit, at a minimum speed.

The host rules are checked on the address of the connection, because a name may resolve to another address
between a check and its use. Redirects are followed here, one by one, because each may lead to another host
and because requests would read the whole body of each redirect.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.utils import get_environ_proxies, select_proxy

from worker.audio.blocking import BlockingCalls
from worker.audio.connections import GuardedAdapter, forbidden
from worker.audio.reading import Source, reader
from worker.audio.sockets import Wait, current
from worker.clock import Clock
from worker.concurrency.interrupt import Interrupt
from worker.contract.errors import JobError, PermanentError, Reason, TransientError
from worker.network.hosts import HostRules
from worker.network.http_status import passes, retry_after

#: How much of a download is read at a time.
BLOCK_BYTES = 16 * 1024
#: Enough for one to the storage behind a URL, one to another region, and some more.
MOST_REDIRECTS = 5
#: Statuses whose body is the whole audio. Any other status is refused, also a redirect without a target.
_WHOLE = frozenset({200, 203})

#: Exceptions of requests while a download is opened, and of urllib3 while it is read; most specific first.
FAILURES: tuple[tuple[type[Exception], type[JobError], str], ...] = (
    (requests.exceptions.InvalidURL, PermanentError, "audio.uri is no valid URL"),
    (requests.exceptions.InvalidSchema, PermanentError, "audio.uri redirects to something that is not http"),
    (requests.exceptions.MissingSchema, PermanentError, "audio.uri is no valid URL"),
    (requests.exceptions.TooManyRedirects, PermanentError, "audio.uri redirects in circles"),
    (requests.exceptions.SSLError, TransientError, "TLS to the audio's server failed"),
    (requests.exceptions.Timeout, TransientError, "the audio's server did not answer in time"),
    (requests.exceptions.RequestException, TransientError, "the download of the audio broke off"),
    (urllib3.exceptions.SSLError, TransientError, "TLS to the audio's server failed"),
    (urllib3.exceptions.HTTPError, TransientError, "the download of the audio broke off"),
)

#: As `socket.getaddrinfo`.
Resolve = Callable[[str, int, int, int], list[Any]]


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
        self._rules = rules
        self._clock = clock
        self._timeout = timeout
        self._least_speed = least_speed
        self._max_bytes = max_bytes
        # The session only prepares requests, and the adapter sends them. So the session keeps no cookies.
        self._session = requests.Session()
        # Otherwise it would add the password that ~/.netrc has for a host that a job names.
        self._session.trust_env = False
        self._adapter = GuardedAdapter(rules, calls, resolve, context)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._adapter.close()

    @contextmanager
    def open(self, url: str, interrupt: Interrupt) -> Iterator[Source]:
        """Begin a download.

        Raises:
            JobError: `audio_unreachable`, also while it is read.
            Interrupted: By `interrupt`, also while it is read.
        """
        wait = Wait(interrupt, self._clock, self._timeout, self._least_speed)
        with wait:
            response = self._answer(url)
        # Closing a response whose body was not read to its end closes its connection, and waits for nothing.
        with response:
            if response.status_code not in _WHOLE:
                raise _refusal(response, self._clock.wall())
            if (_length(response) or 0) > self._max_bytes:
                raise _too_large()
            wait.answered()
            blocks = _waiting(_blocks(response, self._max_bytes), wait)
            yield Source(
                reader(blocks), response.headers.get("Content-Type"), at_hand=False, heard=wait.speed.heard
            )

    def _answer(self, url: str) -> requests.Response:
        """The answer at the end of all redirects."""
        for _ in range(MOST_REDIRECTS + 1):
            current().check()
            response = self._get(url)
            try:
                target = self._session.get_redirect_target(response)
                if target is None:
                    return response
                following = urljoin(response.url, target)
                old, new = urlsplit(response.url).scheme, urlsplit(following).scheme
            except ValueError:
                response.close()
                raise _refused("audio.uri redirects to something that is no valid URL") from None
            response.close()
            if new not in {"http", "https"}:
                raise _refused("audio.uri redirects to something that is not http")
            if (old, new) == ("https", "http"):
                # The producer asked for encryption: patients' speech must not be sent in clear text.
                raise _refused("audio.uri redirects from https to http")
            url = following
        raise _refused(f"audio.uri redirects more than {MOST_REDIRECTS} times")

    def _get(self, url: str) -> requests.Response:
        try:
            request = self._session.prepare_request(requests.Request("GET", url))
            target = request.url or ""
            host = urlsplit(target).hostname or ""
            proxies = get_environ_proxies(target)
            proxied = select_proxy(target, proxies) is not None
        except requests.exceptions.RequestException as error:
            raise mapped(error) from None
        except ValueError:
            raise _refused("audio.uri, or where it redirects to, is no valid URL") from None
        # The addresses of a name are checked where connections are made, before these go to the pool. A proxy
        # resolves names itself: then only the name can be checked, here.
        if not (self._rules.permits_by_proxy(host) if proxied else self._rules.may_resolve(host)):
            raise forbidden()
        try:
            return self._adapter.send(request, stream=True, timeout=self._timeout, proxies=proxies)
        except requests.exceptions.RequestException as error:
            raise mapped(error) from None


def _waiting(blocks: Iterator[bytes], wait: Wait) -> Iterator[bytes]:
    take = partial(next, blocks, b"")
    while True:
        with wait:
            block = take()
        if not block:
            return
        yield block


def _blocks(response: requests.Response, max_bytes: int) -> Iterator[bytes]:
    expected = _length(response)
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    received = 0
    try:
        # `read1` returns what has arrived, up to a block. `iter_content` waits for whole blocks, and a block
        # can be seconds of a compressed recording: the speed check would learn of the bytes too late.
        for block in iter(partial(response.raw.read1, BLOCK_BYTES, decode_content=True), b""):
            received += len(block)
            # Check again here: a server may announce a smaller size, or send data that expands a lot.
            if received > max_bytes:
                raise _too_large()
            yield block
    except urllib3.exceptions.HTTPError as error:
        raise mapped(error) from None
    # From a body that is cut short, a consultation would end in mid-sentence, and nobody would notice.
    if expected is not None and not encoded and received != expected:
        raise TransientError(Reason.AUDIO_UNREACHABLE, "the download of the audio ended before its end")


def _length(response: requests.Response) -> int | None:
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def mapped(error: Exception) -> JobError:
    """What an exception of requests or urllib3 means for the job."""
    for kind, ours, text in FAILURES:
        if isinstance(error, kind):
            return ours(Reason.AUDIO_UNREACHABLE, f"{text} ({type(error).__name__})")
    raise error


def _refused(text: str) -> PermanentError:
    return PermanentError(Reason.AUDIO_UNREACHABLE, text)


def _too_large() -> PermanentError:
    return _refused("the audio is larger than downloads may be: see CORTI_WORKER_DOWNLOAD_MAX_BYTES")


def _refusal(response: requests.Response, now: datetime) -> JobError:
    text = f"the audio's server answered HTTP {response.status_code}"
    if passes(response.status_code):
        wait = retry_after(response.headers.get("Retry-After"), now)
        return TransientError(Reason.AUDIO_UNREACHABLE, text, wait)
    return _refused(text)
