"""The token endpoint (protocol, section 2)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from worker import trace
from worker.clock import Clock
from worker.corti.rest.http import mapped, refusal
from worker.errors import Reason, TransientError


@dataclass(frozen=True, slots=True)
class Grant:
    """A fresh access token and the seconds it is good for."""

    value: str
    expires_in: float

    def __repr__(self) -> str:
        return f"Grant(expires_in={self.expires_in})"


class TokenEndpoint:
    """Requests tokens with the client_credentials grant (protocol 2.1).

    Args:
        session: For requests.
        url: The endpoint.
        client_id: OAuth client.
        client_secret: Gives its secret, asked for at each request: secrets are rotated under running workers.
        timeout: Seconds.
        clock: For time.
    """

    def __init__(
        self,
        session: requests.Session,
        url: str,
        client_id: str,
        client_secret: Callable[[], str],
        timeout: float,
        clock: Clock,
    ) -> None:
        self._session = session
        self._url = url
        self._client_id = client_id
        self._client_secret = client_secret
        self._timeout = timeout
        self._clock = clock

    def fetch(self) -> Grant:
        """Request a token.

        Raises:
            JobError: `auth_rejected` when the credentials are wrong, else why there was no answer.
        """
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret(),
            "scope": "openid",
        }
        with mapped("auth server"):
            response = self._session.post(
                self._url, data=form, headers=trace.headers(), timeout=self._timeout, allow_redirects=False
            )
            if response.ok:
                return _grant(response.json())
        if response.status_code in {400, 401, 403, 404}:
            # Transient on purpose: a secret that is being rotated is wrong for a minute, and the
            # attempts of a job are what bounds the wait (protocol 2.4 for the statuses).
            raise TransientError(
                Reason.AUTH_REJECTED,
                f"the auth server refused the tenant's credentials (HTTP {response.status_code}): check "
                "CORTI_CLIENT_ID, CORTI_CLIENT_SECRET and CORTI_TENANT, or the tenant's files in "
                "CORTI_WORKER_TENANTS_DIR",
            )
        raise refusal(response, "auth server", self._clock.wall())


def _grant(value: Any) -> Grant:
    try:
        token, expires_in = value["access_token"], float(value["expires_in"])
    except (KeyError, TypeError, ValueError):
        token, expires_in = None, math.nan
    if not (isinstance(token, str) and token and math.isfinite(expires_in)):
        raise TransientError(
            Reason.UPSTREAM_UNAVAILABLE, "auth server: the answer has no access_token or expires_in"
        )
    return Grant(token, expires_in)
