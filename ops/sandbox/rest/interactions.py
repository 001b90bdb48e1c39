"""The interactions of all tenants, in memory (PROTOCOL.md 3)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ops.sandbox.clock import timestamp
from ops.sandbox.rest import errors
from ops.sandbox.rest.facts import FactBook
from ops.sandbox.rest.validation import STATUSES, read_interaction
from ops.sandbox.stream.history import StreamHistory

if TYPE_CHECKING:
    from collections.abc import Iterator

_YEAR_ONE = "0001-01-01T00:00:00Z"
_SORTS = ("id", "assignedUserId", "patient", "createdAt", "endedAt", "updatedAt")


@dataclass
class Interaction:
    """One interaction, with its facts and the history of its streams."""

    tenant: str
    #: The JSON item of the API without ``websocketUrl``, which depends on the address of the request.
    item: dict[str, Any]
    #: Order of creation; decides the order of equal timestamps.
    serial: int
    facts: FactBook = field(default_factory=FactBook)
    history: StreamHistory = field(default_factory=StreamHistory)

    @property
    def id(self) -> str:
        """The interaction id, a UUID."""
        identifier: str = self.item["id"]
        return identifier

    @property
    def encounter(self) -> str:
        """``encounter.identifier``, the caller's own reference."""
        identifier: str = self.item["encounter"]["identifier"]
        return identifier


@dataclass(frozen=True)
class Page:
    """The validated query of the list operation (PROTOCOL.md 3.3)."""

    sort: str = "createdAt"
    descending: bool = True
    size: int = 10
    #: Page number, from 1.
    index: int = 1
    statuses: frozenset[str] = frozenset()
    patient: str | None = None

    @classmethod
    def parse(cls, query: dict[str, list[str]]) -> Page:
        """Read the query string.

        Raises:
            ApiError: 400, a value is not allowed.
        """
        sort = query.get("sort", ["createdAt"])[0]
        direction = query.get("direction", ["desc"])[0]
        statuses = frozenset(query.get("encounterStatus", []))
        if sort not in _SORTS:
            raise errors.bad_query(f"sort must be one of {', '.join(_SORTS)}")
        if direction not in ("asc", "desc"):
            raise errors.bad_query("direction must be asc or desc")
        if statuses - set(STATUSES):
            raise errors.bad_query(f"encounterStatus must be one of {', '.join(STATUSES)}")
        numbers = []
        for name, default in (("pageSize", "10"), ("index", "1")):
            value = query.get(name, [default])[0]
            if not value.isascii() or not value.isdigit() or int(value) < 1:
                raise errors.bad_query(f"{name} must be a positive integer")
            numbers.append(int(value))
        return cls(
            sort, direction == "desc", numbers[0], numbers[1], statuses, query.get("patient", [None])[0]
        )


class InteractionStore:
    """Creates, finds, changes and deletes interactions. Callers pass the time, in seconds since the epoch."""

    def __init__(self) -> None:
        self._by_id: dict[str, Interaction] = {}
        self._identifiers: dict[tuple[str, str], str] = {}
        self._serial = 0

    def create(self, tenant: str, body: object, now: float) -> Interaction:
        """Create an interaction.

        Raises:
            ApiError: 400 for an invalid body, 409 when the tenant already has the encounter identifier.
        """
        fields = _checked(body, creating=True)
        encounter = fields["encounter"]
        key = (tenant, encounter["identifier"])
        if key in self._identifiers:
            raise errors.duplicate_identifier(encounter["identifier"])
        at = timestamp(now)
        patient = {
            "identifier": "-", "name": "-", "gender": "unknown", "birthDate": _YEAR_ONE, "pronouns": "-",
        } | fields.get("patient", {})  # fmt: skip
        period = {"startedAt": _YEAR_ONE, "endedAt": None} | encounter.get("period", {})
        item = {
            "id": str(uuid.uuid4()),
            "assignedUserId": fields.get("assignedUserId", str(uuid.uuid4())),
            "encounter": {"title": "", **encounter, "period": period},
            "patient": patient,
            "endedAt": None,
            "createdAt": at,
            "updatedAt": at,
            "lastUpdated": at,
            "deletionReason": "",
            "scheduleDeletionAt": None,
            "deletedAt": None,
        }
        self._serial += 1
        interaction = Interaction(tenant, item, self._serial)
        self._by_id[interaction.id] = interaction
        self._identifiers[key] = interaction.id
        return interaction

    def get(self, tenant: str, identifier: str) -> Interaction:
        """Find an interaction of this tenant.

        Raises:
            ApiError: 400 for an id that is not a UUID, 404 for an unknown id or one of another tenant.
        """
        try:
            canonical = str(uuid.UUID(identifier))
        except ValueError:
            raise errors.malformed_id("interaction id") from None
        interaction = self._by_id.get(canonical)
        if interaction is None or interaction.tenant != tenant:
            raise errors.interaction_not_found()
        return interaction

    def page(self, tenant: str, page: Page) -> list[Interaction]:
        """Return one page; empty past the end, where the vendor's SDK stops paging (PROTOCOL.md 3.3)."""
        chosen = sorted(self._matching(tenant, page), key=lambda one: _sort_key(one, page.sort))
        if page.descending:
            chosen.reverse()
        return chosen[(page.index - 1) * page.size : page.index * page.size]

    def update(self, tenant: str, identifier: str, body: object, now: float) -> Interaction:
        """Merge the fields of a PATCH body into an interaction.

        Raises:
            ApiError: as for ``create`` and ``get``.
        """
        interaction = self.get(tenant, identifier)
        fields = _checked(body, creating=False)
        wanted = fields.get("encounter", {}).get("identifier", interaction.encounter)
        if wanted != interaction.encounter:
            if (tenant, wanted) in self._identifiers:
                raise errors.duplicate_identifier(wanted)
            del self._identifiers[tenant, interaction.encounter]
            self._identifiers[tenant, wanted] = interaction.id
        _merge(interaction.item, fields)
        interaction.item["updatedAt"] = interaction.item["lastUpdated"] = timestamp(now)
        return interaction

    def delete(self, tenant: str, identifier: str) -> None:
        """Delete an interaction with its facts and history; its encounter identifier can be used again.

        Raises:
            ApiError: as for ``get``.
        """
        interaction = self.get(tenant, identifier)
        del self._by_id[interaction.id]
        del self._identifiers[tenant, interaction.encounter]

    def _matching(self, tenant: str, page: Page) -> Iterator[Interaction]:
        for interaction in self._by_id.values():
            item = interaction.item
            if interaction.tenant != tenant:
                continue
            if page.statuses and item["encounter"]["status"] not in page.statuses:
                continue
            if page.patient is None or item["patient"]["identifier"] == page.patient:
                yield interaction


def _sort_key(interaction: Interaction, sort: str) -> tuple[str, int]:
    value = interaction.item[sort]
    return str(value["identifier"] if isinstance(value, dict) else value or ""), interaction.serial


def _checked(body: object, *, creating: bool) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise errors.bad_request("the body must be a JSON object")
    fields, problems = read_interaction(body, creating=creating)
    if problems:
        raise errors.bad_request("the request body is not valid", problems)
    return fields


def _merge(target: dict[str, Any], changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, dict):
            _merge(target[name], value)
        else:
            target[name] = value
