"""The audit trail: who did what with which job, when; an AuditEvent of FHIR R4 for each step, no content.

Types and actions are codes of HL7's value sets (https://hl7.org/fhir/R4/auditevent.html).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from worker.contract.job import Job

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_OURS = "urn:corti-worker"


class Step(Enum):
    """A step of a job: the type of its record (ISO 21089 life cycle), and its action."""

    RECEIVED = ("receive", "C")
    CLAIMED = ("access", "E")
    STREAMED = ("transmit", "E")
    PUBLISHED = ("report", "C")
    FAILED = ("report", "E")


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of one job.

    Attributes:
        step: The step.
        job_id: The job, or None for a message that names none.
        reason: Reason code where the step is about a failure.
        tenant: The job's own, or None for that of the worker.
        retention: What the job asks the service to do with its data: `retain`, `none`, or empty for the
            service's own rule.
        user: The service's id of the clinician for whom the job is done, if the job names one.
        details: Numbers and ids of ours; never content.
    """

    step: Step
    job_id: str | None
    reason: str | None = None
    tenant: str | None = None
    retention: str = ""
    user: str | None = None
    details: dict[str, str | int | float] = field(default_factory=dict)

    @classmethod
    def of(cls, step: Step, job: Job, *, reason: str | None = None, **details: str | float) -> "Entry":
        """A step of a job that we could read."""
        return cls(
            step, job.job_id, reason, job.tenant, job.output.retention or "", job.assigned_user_id, details
        )


class Audit(Protocol):
    """Keeps the records."""

    def record(self, entry: Entry) -> None:
        """Keep one record. Never raises: a full disk must not fail a job."""
        ...


class Unaudited:
    """Implements `Audit` where no trail is kept."""

    def record(self, entry: Entry) -> None:
        """See `Audit`."""


def audit_event(entry: Entry, at: datetime, *, tenant: str, worker: str, host: str) -> dict[str, Any]:
    """The record of a step as an AuditEvent.

    Args:
        entry: The step.
        at: When it happened.
        tenant: The worker's, for a job that has no tenant of its own.
        worker: Who records it: the worker's name.
        host: Where it runs.
    """
    kind, action = entry.step.value
    details = {
        "tenant": entry.tenant or tenant,
        "retention": entry.retention or "default",
        **entry.details,
    }
    job = {"what": {"identifier": {"system": f"{_OURS}:job", "value": entry.job_id}}} if entry.job_id else {}
    return {
        "resourceType": "AuditEvent",
        "type": {"system": f"{_TERMINOLOGY}/iso-21089-lifecycle", "code": kind},
        "subtype": [{"system": f"{_OURS}:step", "code": entry.step.name.lower()}],
        "action": action,
        "recorded": at.isoformat(timespec="milliseconds"),
        "outcome": "8" if entry.reason else "0",
        **({"outcomeDesc": entry.reason} if entry.reason else {}),
        "agent": [
            {"who": _who(entry.user), "requestor": True},
            {"who": {"display": worker}, "requestor": False, "network": {"address": host, "type": "1"}},
        ],
        "source": {
            "observer": {"display": worker},
            "type": [{"system": f"{_TERMINOLOGY}/security-source-type", "code": "4"}],
        },
        "entity": [
            {
                **job,
                "type": {"system": f"{_TERMINOLOGY}/audit-entity-type", "code": "4"},
                "detail": [{"type": name, "valueString": str(value)} for name, value in details.items()],
            }
        ],
    }


def _who(user: str | None) -> dict[str, Any]:
    if user is None:
        return {"display": "producer"}
    return {"identifier": {"system": "urn:corti:user", "value": user}}
