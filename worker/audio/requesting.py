"""Requests for audio with `requests`: only to allowed hosts, with no password and no cookie of anybody.

The host rules are checked on the address of the connection, because a name may resolve to another address
between a check and its use. Redirects are followed here, one by one, because each may lead to another host
and because requests would read the whole body of each redirect.
"""

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy

from worker.audio.blocking import BlockingCalls
from worker.audio.connections import GuardedAdapter, forbidden
from worker.audio.failures import mapped, refused
from worker.audio.sockets import current
from worker.network.hosts import HostRules

#: Enough for one to the storage behind a URL, one to another region, and some more.
MOST_REDIRECTS = 5

#: As `socket.getaddrinfo`.
Resolve = Callable[[str, int, int, int], list[Any]]


class Requester:
    """Sends requests for audio. One object serves all job threads.

    Args:
        rules: Which hosts are allowed.
        calls: Makes look-ups of names.
        context: TLS settings, for downloads alone.
        timeout: Seconds, for what `requests` waits for itself.
        resolve: Looks up names.
    """

    def __init__(
        self,
        rules: HostRules,
        calls: BlockingCalls,
        context: ssl.SSLContext,
        timeout: float,
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        self._rules = rules
        self._timeout = timeout
        # The session only prepares requests, and the adapter sends them. So the session keeps no cookies.
        self._session = requests.Session()
        # Otherwise it would add the password that ~/.netrc has for a host that a job names.
        self._session.trust_env = False
        # An encoded body has no offsets of the file: such a download could neither go on nor be read at one.
        self._session.headers["Accept-Encoding"] = "identity"
        self._adapter = GuardedAdapter(rules, calls, resolve, context)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._adapter.close()

    def get(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        """The answer at the end of all redirects, before its body. In the context of a `Wait`.

        Args:
            url: Of the job.
            headers: Further headers, sent to each host on the way.

        Raises:
            JobError: `audio_unreachable`.
            Interrupted: By the interrupt of the `Wait`.
        """
        for _ in range(MOST_REDIRECTS + 1):
            current().check()
            response = self._answer(url, headers)
            try:
                target = self._session.get_redirect_target(response)
                if target is None:
                    return response
                following = urljoin(response.url, target)
                old, new = urlsplit(response.url).scheme, urlsplit(following).scheme
            except ValueError:
                response.close()
                raise refused("audio.uri redirects to something that is no valid URL") from None
            response.close()
            if new not in {"http", "https"}:
                raise refused("audio.uri redirects to something that is not http")
            if (old, new) == ("https", "http"):
                # The producer asked for encryption: patients' speech must not be sent in clear text.
                raise refused("audio.uri redirects from https to http")
            url = following
        raise refused(f"audio.uri redirects more than {MOST_REDIRECTS} times")

    def _answer(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        try:
            request = self._session.prepare_request(requests.Request("GET", url, headers=dict(headers)))
            target = request.url or ""
            host = urlsplit(target).hostname or ""
            proxies = get_environ_proxies(target)
            proxied = select_proxy(target, proxies) is not None
        except requests.exceptions.RequestException as error:
            raise mapped(error) from None
        except ValueError:
            raise refused("audio.uri, or where it redirects to, is no valid URL") from None
        # The addresses of a name are checked where connections are made, before these go to the pool. A proxy
        # resolves names itself: then only the name can be checked, here.
        if not (self._rules.permits_by_proxy(host) if proxied else self._rules.may_resolve(host)):
            raise forbidden()
        try:
            return self._adapter.send(request, stream=True, timeout=self._timeout, proxies=proxies)
        except requests.exceptions.RequestException as error:
            raise mapped(error) from None
