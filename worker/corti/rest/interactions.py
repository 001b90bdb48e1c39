"""Interactions (PROTOCOL.md 3)."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from worker.clock import Clock
from worker.contract.errors import Reason, TransientError
from worker.contract.job import Job
from worker.corti.rest.http import mapped, refusal
from worker.jobs.ports import Interaction
from worker.protocol.token import Token
from worker.telemetry import catalogue, trace
from worker.telemetry.recorder import Recorder

_PAGE_SIZE, _MOST_PAGES = 100, 20


class RestInteractions:
    """Creates interactions (PROTOCOL.md 3.1, 3.2). Implements the `Interactions` port."""

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
        """See `worker.jobs.ports.Interactions`."""
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

    def find(self, job: Job, token: Token) -> Interaction | None:
        """See `worker.jobs.ports.Interactions`.

        The service has no filter for the identifier (PROTOCOL.md 3.3), so the newest interactions are read
        page by page: the interaction was created minutes ago, by an attempt that lost the answer.
        """
        for page in range(1, _MOST_PAGES + 1):
            path = f"/interactions/?sort=createdAt&direction=desc&pageSize={_PAGE_SIZE}&index={page}"
            response = self._call("GET", path, "list_interactions", token)
            with mapped("Corti API"):
                value = response.json()
            items = value.get("interactions") if isinstance(value, dict) else None
            if not isinstance(items, list):
                raise TransientError(
                    Reason.UPSTREAM_UNAVAILABLE, "Corti API: the answer to list has no interactions"
                )
            for item in items:
                if _identifier(item) == job.encounter_identifier:
                    return self._found(item)
            if not items:
                return None
        return None

    def _found(self, item: Any) -> Interaction:
        try:
            return self._interaction(str(item["id"]), str(item["websocketUrl"]))
        except KeyError:
            raise TransientError(
                Reason.UPSTREAM_UNAVAILABLE, "Corti API: a listed interaction has no id or websocketUrl"
            ) from None

    def _call(
        self, method: str, path: str, operation: str, token: Token, body: dict[str, Any] | None = None
    ) -> requests.Response:
        headers = {
            "Authorization": f"Bearer {token.value}",
            "Tenant-Name": self._tenant,
            **trace.headers(),
        }
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
                catalogue.REST_SECONDS, self._clock.monotonic() - started, operation=operation, status=status
            )
        if not response.ok:
            raise refusal(response, "Corti API", self._clock.wall())
        return response

    def _interaction(self, interaction_id: str, url: str) -> Interaction:
        if self._stream_base:
            url = f"{self._stream_base}/interactions/{interaction_id}/streams?tenant-name={self._tenant}"
        allowed = {"wss"} if self._api.startswith("https:") else {"ws", "wss"}
        try:
            scheme = urlsplit(url).scheme
        except ValueError:  # brackets that do not close, for example
            scheme = ""
        if scheme not in allowed:
            # The access token is appended to the URL, so it must not be sent in clear text (PROTOCOL.md 1).
            raise TransientError(
                Reason.UPSTREAM_UNAVAILABLE,
                "Corti API: the answer to create names a stream URL that is not wss",
            )
        return Interaction(interaction_id, url)


def _identifier(item: Any) -> object:
    """The identifier of a listed interaction. Others of the tenant may have none, or another form."""
    encounter = item.get("encounter") if isinstance(item, dict) else None
    return encounter.get("identifier") if isinstance(encounter, dict) else None


def interaction_body(job: Job) -> dict[str, Any]:
    """The request to create a job's interaction (PROTOCOL.md 3.1); absent keys are left out."""
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
    with suppress(OverflowError):  # the first and the last day of the calendar keep their own offset
        moment = moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")
