"""The token endpoint (PROTOCOL.md 2)."""

import math
from collections.abc import Callable
from typing import Any

import requests
import structlog

from worker.clock import Clock
from worker.contract.errors import Reason, TransientError
from worker.corti.rest.http import mapped, refusal
from worker.protocol.token import Grant
from worker.telemetry import trace

log = structlog.get_logger(__name__)

#: Assumed lifetime of a token without `expires_in`, which is optional (RFC 6749, section 5.1). It is short,
#: because an expired token costs a refused request; it is long enough not to need a new token for each job.
ASSUMED_SECONDS = 120.0


class TokenEndpoint:
    """Requests tokens with the client_credentials grant (PROTOCOL.md 2.1).

    Args:
        session: For requests.
        url: The endpoint.
        client_id: OAuth client.
        client_secret: Returns its secret. Called for each request: secrets are rotated while workers run.
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
        self._warned = False

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
                return self._grant(response.json())
        if response.status_code in {400, 401, 403, 404}:
            # Transient on purpose: a secret that is being rotated is wrong for a minute. The retry policy
            # limits how long a job waits for it (PROTOCOL.md 2.4 for the statuses).
            raise TransientError(
                Reason.AUTH_REJECTED,
                f"the auth server refused the tenant's credentials (HTTP {response.status_code}): check "
                "CORTI_CLIENT_ID, CORTI_CLIENT_SECRET and CORTI_TENANT, or the tenant's files in "
                "CORTI_WORKER_TENANTS_DIR",
            )
        raise refusal(response, "auth server", self._clock.wall())

    def _grant(self, value: Any) -> Grant:
        token = value.get("access_token") if isinstance(value, dict) else None
        if not (isinstance(token, str) and token):
            raise TransientError(Reason.UPSTREAM_UNAVAILABLE, "auth server: the answer has no access_token")
        lifetime = _seconds(value.get("expires_in"))
        if lifetime is None:
            lifetime = ASSUMED_SECONDS
            if not self._warned:
                self._warned = True
                log.warning(
                    "token_without_expiry",
                    assumed_seconds=ASSUMED_SECONDS,
                    advice="the auth server does not say how long its tokens live, so the worker often asks "
                    "for new ones; configure the server to answer with expires_in",
                )
        return Grant(token, lifetime)


def _seconds(value: Any) -> float | None:
    """The lifetime of a token; None where the answer holds no finite number."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None
