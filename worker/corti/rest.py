"""Corti's HTTP side by `requests`: the token endpoint and interactions (protocol, sections 2, 3, 8)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from worker import measures
from worker.clock import Clock
from worker.corti.token import Token
from worker.errors import JobError, PermanentError, Reason, TokenRefused, TransientError
from worker.job import Job
from worker.ports import Interaction, Recorder

#: requests' exceptions, most specific first. What is not here is a fault of ours and surfaces as such.
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
    """A session whose `verify` stands: requests lets REQUESTS_CA_BUNDLE override it, but not an argument."""

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """See `requests.Session.request`."""
        kwargs.setdefault("verify", self.verify)
        return super().request(*args, **kwargs)


def http_session(ca_file: str | None, connections: int) -> requests.Session:
    """A session for all threads: pooled connections, and no more of them at once than `connections`."""
    session = _Session()
    if ca_file:
        session.verify = ca_file
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections, pool_block=True)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


@dataclass(frozen=True, slots=True)
class Grant:
    """A fresh access token and the seconds it is good for."""

    value: str
    expires_in: float

    def __repr__(self) -> str:
        return f"Grant(expires_in={self.expires_in})"


class TokenEndpoint:
    """Requests tokens with the client_credentials grant (protocol 2.1)."""

    def __init__(
        self,
        session: requests.Session,
        url: str,
        client_id: str,
        client_secret: str,
        timeout: float,
        clock: Clock,
    ) -> None:
        self._session = session
        self._url = url
        self._form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
            "scope": "openid",
        }
        self._timeout = timeout
        self._clock = clock

    def fetch(self) -> Grant:
        """Request a token.

        Raises:
            JobError: `auth_rejected` when the credentials are wrong, else why there was no answer.
        """
        with mapped("auth server"):
            response = self._session.post(
                self._url, data=self._form, timeout=self._timeout, allow_redirects=False
            )
            if response.ok:
                return _grant(response.json())
        if response.status_code in {400, 401, 403, 404}:
            # Transient on purpose: a secret that is being rotated is wrong for a minute, and the
            # attempts of a job are what bounds the wait (protocol 2.4 for the statuses).
            raise TransientError(
                Reason.AUTH_REJECTED,
                f"the auth server refused the credentials (HTTP {response.status_code}): check "
                "CORTI_CLIENT_ID, CORTI_CLIENT_SECRET and CORTI_TENANT",
            )
        raise _refusal(response, "auth server", self._clock.wall())


class RestInteractions:
    """Creates interactions (protocol 3.1, 3.2). Implements the `Interactions` port."""

    def __init__(
        self,
        session: requests.Session,
        api: str,
        tenant: str,
        stream_base: str | None,
        timeout: float,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._session = session
        self._api = api
        self._tenant = tenant
        self._stream_base = stream_base
        self._timeout = timeout
        self._recorder = recorder
        self._clock = clock

    def create(self, job: Job, token: Token) -> Interaction:
        """See `worker.ports.Interactions`."""
        response = self._call("POST", "/interactions/", "create_interaction", token, interaction_body(job))
        with mapped("Corti API"):
            value = response.json()
        try:
            return self._interaction(str(value["interactionId"]), str(value["websocketUrl"]))
        except (KeyError, TypeError):
            raise TransientError(
                Reason.UPSTREAM_UNAVAILABLE,
                "Corti API: the answer to create has no interactionId or websocketUrl",
            ) from None

    def _call(
        self, method: str, path: str, operation: str, token: Token, body: dict[str, Any]
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token.value}", "Tenant-Name": self._tenant}
        started, status = self._clock.monotonic(), "error"
        try:
            with mapped("Corti API"):
                response = self._session.request(
                    method,
                    self._api + path,
                    json=body,
                    headers=headers,
                    timeout=self._timeout,
                    allow_redirects=False,
                )
            status = f"{response.status_code // 100}xx"
        finally:
            self._recorder.observe(
                measures.REST_SECONDS, self._clock.monotonic() - started, operation=operation, status=status
            )
        if not response.ok:
            raise _refusal(response, "Corti API", self._clock.wall())
        return response

    def _interaction(self, interaction_id: str, url: str) -> Interaction:
        if self._stream_base:
            url = f"{self._stream_base}/interactions/{interaction_id}/streams?tenant-name={self._tenant}"
        allowed = {"wss"} if self._api.startswith("https:") else {"ws", "wss"}
        if urlsplit(url).scheme not in allowed:
            # The URL gets the access token appended: it must not leave in clear (protocol 1).
            raise TransientError(
                Reason.UPSTREAM_UNAVAILABLE,
                "Corti API: the answer to create names a stream URL that is not wss",
            )
        return Interaction(interaction_id, url)


def interaction_body(job: Job) -> dict[str, Any]:
    """The request to create a job's interaction (protocol 3.1); absent keys are left out."""
    encounter: dict[str, Any] = {
        "identifier": job.encounter_identifier,
        "status": job.encounter.status,
        "type": job.encounter.type,
        "title": job.encounter.title,
    }
    if job.encounter.period:
        period = job.encounter.period
        encounter["period"] = _present(
            {
                "startedAt": _utc(period.started_at),
                "endedAt": _utc(period.ended_at) if period.ended_at else None,
            }
        )
    body: dict[str, Any] = {"encounter": _present(encounter), "assignedUserId": job.assigned_user_id}
    if job.patient:
        patient = job.patient
        body["patient"] = _present(
            {
                "identifier": patient.identifier,
                "name": patient.name,
                "gender": patient.gender,
                "birthDate": patient.birth_date,
                "pronouns": patient.pronouns,
            }
        )
    return _present(body)


def _present(value: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item is not None}


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _grant(value: Any) -> Grant:
    try:
        return Grant(str(value["access_token"]), float(value["expires_in"]))
    except (KeyError, TypeError, ValueError):
        raise TransientError(
            Reason.UPSTREAM_UNAVAILABLE, "auth server: the answer has no access_token or expires_in"
        ) from None


def _refusal(response: requests.Response, party: str, now: datetime) -> JobError:
    """What an HTTP status means for the job (protocol 3.4, 8)."""
    status, text = response.status_code, f"{party}: HTTP {response.status_code}"
    if status == 401 or (status == 403 and _says(response, "A0004", "A0005")):  # noqa: PLR2004
        # The older documentation answers an invalid token with 403 and a code (protocol 10, row 7).
        return TokenRefused(text)
    if status == 403:  # noqa: PLR2004
        return PermanentError(Reason.FORBIDDEN, f"{text}: this client may not do that for this tenant")
    if status == 409 or (status == 400 and _says(response, "A0017")):  # noqa: PLR2004
        return PermanentError(
            Reason.DUPLICATE_ENCOUNTER,
            f"{text}: the tenant has an interaction with this encounter.identifier",
        )
    wait = retry_after(response.headers.get("Retry-After"), now)
    if status == 429:  # noqa: PLR2004
        if _says(response, "A0021", "balance"):
            return PermanentError(Reason.QUOTA_EXHAUSTED, f"{text}: the account's credits are used up")
        return TransientError(Reason.RATE_LIMITED, text, wait)
    if status in {408, 425} or status >= 500:  # noqa: PLR2004
        return TransientError(Reason.UPSTREAM_UNAVAILABLE, text, wait)
    return PermanentError(
        Reason.INTERACTION_REFUSED, f"{text}: the service refused the encounter or patient data"
    )


def _says(response: requests.Response, *words: str) -> bool:
    body = response.text.lower()
    return any(word.lower() in body for word in words)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a `Retry-After` header: a number, or an HTTP date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None
