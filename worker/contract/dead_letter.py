"""The dead letter: a message or job that was given up, kept whole, with its reason. A contract.

A dead letter is a payload: it holds the original message and so may hold patient data. Its
`reason` and `errors` never do; they name codes, fields and expectations.
"""

import base64
import hashlib
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from worker.contract.errors import Reason
from worker.contract.message import Problem


class FieldError(BaseModel):
    """One fault of the message: the field's path and what was expected there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    expected: str


def letter_id(job_id: str) -> str:
    """The id of a failed job's dead letter."""
    return f"{job_id}/dead-letter"


class DeadLetter(BaseModel):
    """One message on `corti.dead`. Exactly one of `payload` (UTF-8) and `payload_base64` is set.

    `id` depends only on what was given up: where a letter comes twice, because the first was not confirmed in
    time, a consumer drops the second by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="corti.dead.v1")

    version: Literal[1] = 1
    # Letters of the first versions have no id.
    id: str | None = None
    reason: Reason
    detail: str
    cause: Reason | None = None
    job_id: str | None = None
    errors: tuple[FieldError, ...] = ()
    attempts: int = 0
    queue: str
    received_at: AwareDatetime
    dead_at: AwareDatetime
    size: int
    sha256: str
    payload: str | None = None
    payload_base64: str | None = None

    @classmethod
    def of(
        cls,
        body: bytes,
        *,
        reason: Reason,
        detail: str,
        queue: str,
        received_at: AwareDatetime,
        dead_at: AwareDatetime,
        cause: Reason | None = None,
        job_id: str | None = None,
        problems: tuple[Problem, ...] = (),
        attempts: int = 0,
        letter_id: str | None = None,
    ) -> Self:
        """Make a dead letter of a message's body, whatever bytes it consists of.

        Without a `letter_id` the id is made of queue and body: the same message gets the same id again.
        """
        digest = hashlib.sha256(body).hexdigest()
        try:
            text, encoded = body.decode("utf-8"), None
        except UnicodeDecodeError:
            text, encoded = None, base64.b64encode(body).decode("ascii")
        return cls(
            id=letter_id or f"{queue}/{digest}",
            reason=reason,
            detail=detail,
            cause=cause,
            job_id=job_id,
            errors=tuple(FieldError(field=p.field, expected=p.expected) for p in problems),
            attempts=attempts,
            queue=queue,
            received_at=received_at,
            dead_at=dead_at,
            size=len(body),
            sha256=digest,
            payload=text,
            payload_base64=encoded,
        )

    def to_json(self) -> bytes:
        """The dead letter as the bytes of a message."""
        return self.model_dump_json(exclude_none=True).encode()
