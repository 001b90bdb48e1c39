"""Validate the bodies of interaction requests, field by field (PROTOCOL.md 3.1).

A checker collects one ``{field: message}`` entry for each problem, which is the shape of
``validationErrors``. Fields that are not in the schema are ignored, as the service ignores the time zone
offsets in its own quick start.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

STATUSES = ("planned", "in-progress", "on-hold", "completed", "cancelled", "deleted")
TYPES = ("first_consultation", "consultation", "emergency", "inpatient", "outpatient")
GENDERS = ("male", "female", "unknown", "other")


class Checker:
    """Reads fields of one JSON object; adds invalid fields to ``problems`` and returns ``None`` for them."""

    def __init__(
        self, body: dict[str, Any], path: str = "", problems: list[dict[str, str]] | None = None
    ) -> None:
        self.problems: list[dict[str, str]] = [] if problems is None else problems
        self._body = body
        self._path = path

    def text(
        self, name: str, *, required: bool = False, choices: tuple[str, ...] | None = None
    ) -> str | None:
        """Read a string; a required string must not be empty."""
        value = self._body.get(name)
        if value is None:
            if required:
                self._missing(name)
            return None
        if not isinstance(value, str):
            self._problem(name, f"cannot unmarshal {_json_kind(value)} into a field of type string")
            return None
        if required and not value:
            self._missing(name)
            return None
        if choices is not None and value not in choices:
            self._problem(name, f"must be one of {', '.join(choices)}")
            return None
        return value

    def identifier(self, name: str) -> str | None:
        """Read an optional UUID; return it in canonical form."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return str(uuid.UUID(value))
        except ValueError:
            self._problem(name, "must be a valid UUID")
            return None

    def time(self, name: str, *, required: bool = False, date_allowed: bool = False) -> str | None:
        """Read an RFC 3339 date-time (or a date, if allowed); return it in UTC in the API's format."""
        value = self.text(name, required=required)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self._problem(name, "must be an RFC 3339 date-time")
            return None
        # A birth date without a time is accepted and returned as midnight UTC (PROTOCOL.md 3.1).
        if moment.tzinfo is None and not (date_allowed and len(value) == len("YYYY-MM-DD")):
            self._problem(name, "must be an RFC 3339 date-time with an offset")
            return None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment.microsecond else _whole_seconds(moment)

    def child(self, name: str, *, required: bool = False) -> Checker | None:
        """Read an object; return its checker, which adds to the same ``problems`` with the full path."""
        value = self._body.get(name)
        if value is None:
            if required:
                self._missing(name)
            return None
        if not isinstance(value, dict):
            self._problem(name, f"cannot unmarshal {_json_kind(value)} into a field of type object")
            return None
        return Checker(value, f"{self._path}{name}.", self.problems)

    def _missing(self, name: str) -> None:
        self._problem(name, "is required")

    def _problem(self, name: str, message: str) -> None:
        self.problems.append({self._path + name: message})


def read_interaction(body: dict[str, Any], *, creating: bool) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Read the fields of a create or update body.

    Args:
        body: The JSON object of the request.
        creating: Whether the fields that a create requires must be present.

    Returns:
        The fields that are present, and the problems. If there are problems, do not use the fields.
    """
    check = Checker(body)
    fields: dict[str, Any] = {"assignedUserId": check.identifier("assignedUserId")}
    encounter = check.child("encounter", required=creating)
    if encounter is not None:
        fields["encounter"] = _read_encounter(encounter, creating=creating)
    elif creating and "encounter" not in body:
        # All missing fields are listed at once, also those inside a missing object (PROTOCOL.md 3.4).
        _read_encounter(Checker({}, "encounter.", check.problems), creating=True)
    patient = check.child("patient")
    if patient is not None:
        fields["patient"] = _given(
            identifier=patient.text("identifier", required=creating),
            name=patient.text("name"),
            gender=patient.text("gender", choices=GENDERS),
            birthDate=patient.time("birthDate", date_allowed=True),
            pronouns=patient.text("pronouns"),
        )
    return _given(**fields), check.problems


def _read_encounter(encounter: Checker, *, creating: bool) -> dict[str, Any]:
    fields = _given(
        identifier=encounter.text("identifier", required=creating),
        status=encounter.text("status", required=creating, choices=STATUSES),
        type=encounter.text("type", required=creating, choices=TYPES),
        title=encounter.text("title"),
    )
    period = encounter.child("period")
    if period is not None:
        fields["period"] = _given(
            startedAt=period.time("startedAt", required=creating), endedAt=period.time("endedAt")
        )
    return fields


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _json_kind(value: object) -> str:
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return kinds[type(value)]


def _whole_seconds(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
