"""Shared by both REST adapters: `requests` sessions, and what its exceptions and HTTP statuses mean."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from worker.contract.errors import JobError, PermanentError, Reason, TokenRefused, TransientError
from worker.network.http_status import FORBIDDEN, TOO_MANY_REQUESTS, UNAUTHORIZED, passes, retry_after
from worker.network.trust import authorities

#: Exceptions of requests, most specific first. Any other exception is a bug of ours and is not mapped.
FAILURES: tuple[tuple[type[Exception], type[JobError], Reason, str], ...] = (
    (
        requests.exceptions.SSLError,
        TransientError,
        Reason.UPSTREAM_UNAVAILABLE,
        "TLS failed; see CORTI_CA_FILE",
    ),
    (requests.exceptions.Timeout, TransientError, Reason.UPSTREAM_UNAVAILABLE, "no answer in time"),
    (requests.exceptions.ConnectionError, TransientError, Reason.UPSTREAM_UNAVAILABLE, "no connection"),
    (
        requests.exceptions.JSONDecodeError,
        TransientError,
        Reason.UPSTREAM_UNAVAILABLE,
        "an answer that is not JSON",
    ),
    (
        requests.exceptions.RequestException,
        TransientError,
        Reason.UPSTREAM_UNAVAILABLE,
        "the HTTP exchange failed",
    ),
)


@contextmanager
def mapped(party: str) -> Iterator[None]:
    """Turn the exceptions of requests into ours, by table.

    Args:
        party: Who was asked, for the text.
    """
    try:
        yield
    except requests.exceptions.RequestException as error:
        for kind, ours, reason, text in FAILURES:
            if isinstance(error, kind):
                # `from None`: the text of the cause holds the URL.
                raise ours(reason, f"{party}: {text} ({type(error).__name__})") from None
        raise


class _Session(requests.Session):
    """Takes the environment's proxies, and nothing else of the environment; see `http_session`."""

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """See `requests.Session.request`."""
        kwargs.setdefault("proxies", _proxies(urljoin(str(url), "/")))
        return super().request(method, url, *args, **kwargs)


@lru_cache(maxsize=64)
def _proxies(origin: str) -> dict[str, str]:
    """The environment's proxies for a host, looked up once: requests reads all variables for each request."""
    return get_environ_proxies(origin)


def http_session(ca_file: str | None, connections: int) -> requests.Session:
    """A session for all threads, with a pool of at most `connections` connections.

    Args:
        ca_file: Whom to trust, instead of the system's store.
        connections: How many may be open at once.
    """
    session = _Session()
    # No cookies at all: tenants share sessions, and none of the servers needs cookies.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Else REQUESTS_CA_BUNDLE would override whom we trust, and ~/.netrc name other credentials.
    session.trust_env = False
    session.verify = authorities(ca_file)
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections, pool_block=True)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def refusal(response: requests.Response, party: str, now: datetime) -> JobError:
    """What an HTTP status means for the job (PROTOCOL.md 3.4, 8)."""
    status, text = response.status_code, f"{party}: HTTP {response.status_code}"
    if status == UNAUTHORIZED or (status == FORBIDDEN and _says(response, "A0004", "A0005")):
        # The older documentation answers an invalid token with 403 and a code (PROTOCOL.md 10, row 7).
        return TokenRefused(text)
    if status == FORBIDDEN:
        return PermanentError(Reason.FORBIDDEN, f"{text}: this client may not do that for this tenant")
    if status == 409 or (status == 400 and _says(response, "A0017")):  # noqa: PLR2004
        return PermanentError(
            Reason.DUPLICATE_ENCOUNTER,
            f"{text}: the tenant has an interaction with this encounter.identifier",
        )
    wait = retry_after(response.headers.get("Retry-After"), now)
    if status == TOO_MANY_REQUESTS:
        if _says(response, "A0021", "balance"):
            return PermanentError(Reason.QUOTA_EXHAUSTED, f"{text}: the account's credits are used up")
        return TransientError(Reason.RATE_LIMITED, text, wait)
    if passes(status):
        return TransientError(Reason.UPSTREAM_UNAVAILABLE, text, wait)
    return PermanentError(
        Reason.INTERACTION_REFUSED, f"{text}: the service refused the encounter or patient data"
    )


def _says(response: requests.Response, *phrases: str) -> bool:
    # Whole words: a request id may contain a code, and a load balancer has nothing to do with a balance.
    return any(re.search(rf"\b{phrase}\b", response.text, re.IGNORECASE) for phrase in phrases)
