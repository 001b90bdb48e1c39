"""The facts of one interaction, from its streams and from REST requests (PROTOCOL.md 4.4 and 7)."""

from __future__ import annotations

import uuid
from typing import Any

from ops.sandbox.clock import timestamp
from ops.sandbox.rest import errors

#: The group keys seen on the live service (PROTOCOL.md 7).
GROUPS = (
    "chief-complaint", "history-of-present-illness", "past-medical-history", "family-history",
    "social-history", "functional-status", "medications-prior-to-visit", "allergies", "demographics",
    "vital-signs", "laboratory-results", "imaging-results", "normal-physical-findings",
    "abnormal-physical-findings", "denials-of-symptoms", "concerns-and-expectations", "assessment", "plan",
    "actions", "other",
)  # fmt: skip
_GROUP_SPACE = uuid.UUID("6f1c9f0e-3c61-4c0b-9a55-5b7d6a0f3f11")


def group_id(group: str) -> str:
    """Return the UUID of a fact group; it is the same in every process."""
    return str(uuid.uuid5(_GROUP_SPACE, group))


def list_groups() -> list[dict[str, Any]]:
    """Return the list ``data`` of the reply to ``GET /factgroups/``."""
    return [
        {
            "id": group_id(key),
            "key": key,
            "translations": [{"id": number, "languagesId": "en", "name": key.replace("-", " ").capitalize()}],
        }
        for number, key in enumerate(GROUPS, start=1)
    ]


class FactBook:
    """The facts by id, in the order of their creation."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, Any]] = {}

    def as_json(self) -> list[dict[str, Any]]:
        """Return all facts in the JSON shape of the API."""
        return [dict(fact) for fact in self._facts.values()]

    def state(
        self,
        *,
        text: str,
        group: str,
        now: float,
        source: str = "core",
        identifier: str | None = None,
        discarded: bool = False,
    ) -> dict[str, Any]:
        """Create a fact, or replace the one with this ``identifier``; return it in the API's JSON shape."""
        identifier = identifier or str(uuid.uuid4())
        known = self._facts.get(identifier)
        at = timestamp(now)
        fact = {
            "id": identifier,
            "text": text,
            "group": group,
            "groupId": group_id(group),
            "isDiscarded": discarded,
            "source": source,
            "createdAt": known["createdAt"] if known else at,
            "createdAtTzOffset": "+00:00",
            "updatedAt": at if known else None,
            "updatedAtTzOffset": "+00:00" if known else None,
        }
        self._facts[identifier] = fact
        return dict(fact)

    def create(self, body: object, now: float) -> list[dict[str, Any]]:
        """Create the facts of a POST body and return them (PROTOCOL.md 7).

        Raises:
            ApiError: 400 for an invalid or empty list, 404 for an unknown group.
        """
        entries = _entries(body)
        for entry in entries:
            _require_text(entry, "text")
            _known_group(_require_text(entry, "group"))
        return [
            self.state(
                text=entry["text"], group=entry["group"], now=now, source=_source(entry.get("source", "user"))
            )
            for entry in entries
        ]

    def update(self, body: object, now: float) -> list[dict[str, Any]]:
        """Change the facts of a PATCH body, each named by ``factId``, and return them.

        Raises:
            ApiError: 404 for an unknown fact or group; 400 for an invalid entry. With 400 for ``text``,
                ``source`` or ``isDiscarded``, the entries before it have been changed already.
        """
        entries = _entries(body)
        for entry in entries:
            self._find(_require_text(entry, "factId"))
            if entry.get("group") is not None:
                _known_group(_require_text(entry, "group"))
        return [self.update_one(entry["factId"], entry, now) for entry in entries]

    def update_one(self, identifier: str, changes: object, now: float) -> dict[str, Any]:
        """Change one fact and return it.

        Raises:
            ApiError: 400 for an invalid body, 404 for an unknown fact or group.
        """
        fact = self._find(identifier)
        if not isinstance(changes, dict):
            raise errors.bad_request("the body must be a JSON object")
        discarded = changes.get("isDiscarded", fact["isDiscarded"])
        if not isinstance(discarded, bool):
            raise errors.bad_request("isDiscarded must be true or false")
        return self.state(
            identifier=identifier,
            text=_require_text({"text": fact["text"]} | changes, "text"),
            group=_known_group(_require_text({"group": fact["group"]} | changes, "group")),
            source=_source(changes.get("source", fact["source"])),
            discarded=discarded,
            now=now,
        )

    def _find(self, identifier: str) -> dict[str, Any]:
        fact = self._facts.get(identifier)
        if fact is None:
            raise errors.ApiError(404, "A0020", "fact not found")
        return fact


def _entries(body: object) -> list[dict[str, Any]]:
    entries = body.get("facts") if isinstance(body, dict) else None
    if not isinstance(entries, list) or not entries or not all(isinstance(one, dict) for one in entries):
        raise errors.bad_request("facts must be a list of at least one object", [{"facts": "is required"}])
    return entries


def _require_text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        raise errors.bad_request("the request body is not valid", [{f"facts.{name}": "must be a string"}])
    return value


def _known_group(group: str) -> str:
    if group not in GROUPS:
        raise errors.ApiError(404, "A0019", f"fact group {group!r} not found")
    return group


def _source(source: object) -> str:
    if source not in ("core", "user", "system"):
        raise errors.bad_request("source must be core, user or system")
    return str(source)
