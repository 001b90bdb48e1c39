"""The body of a producer's message: from bytes to a JSON object, and what is wrong with it in plain words."""

import base64
from codecs import BOM_UTF8
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from worker.contract.refusal_words import words

MAX_MESSAGE_BYTES = 1024 * 1024
_MAX_FIELD_NAME = 64


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a message: which field, and what was expected there. Never the value found."""

    field: str
    expected: str


class InvalidJob(ValueError):
    """The message is no job. The producer has to change it; trying again cannot help."""

    def __init__(self, problems: tuple[Problem, ...], job_id: str | None = None) -> None:
        super().__init__(f"the message is no valid job ({len(problems)} problems)")
        self.problems = problems
        self.job_id = job_id


def decode(body: bytes) -> tuple[bytes, dict[str, Any]]:
    """Read a message: a plain JSON object, or a CloudEvent with the object as `data` or `data_base64`.

    Returns:
        The JSON text of the object, and the object.

    Raises:
        InvalidJob: It is neither.
    """
    if len(body) > MAX_MESSAGE_BYTES:
        raise _not_a_job(f"expected at most {MAX_MESSAGE_BYTES} bytes; put the audio behind a URI")
    # Writers on .NET put a byte order mark in front; RFC 8259, section 8.1, lets a reader ignore it.
    text = body.removeprefix(BOM_UTF8)
    value = _object(text, "$")
    return _unwrap(value) if "specversion" in value else (text, value)


def _object(text: bytes, field: str) -> dict[str, Any]:
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise _not_a_job("expected JSON in UTF-8 (RFC 8259)", field) from None
    if not isinstance(value, dict):
        raise _not_a_job("expected a JSON object", field)
    return value


def _unwrap(envelope: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if envelope["specversion"] != "1.0":
        raise _not_a_job('expected a CloudEvent of version "1.0"', "specversion")
    if data is not None and encoded is not None:
        raise _not_a_job("expected the job in data or in data_base64, and not in both", "data")
    if encoded is not None:
        text = _decoded(encoded)
        return text, _object(text, "data_base64")
    if not isinstance(data, dict):
        raise _not_a_job("expected a CloudEvent 1.0 with the job as a JSON object in data", "data")
    return to_json(data), data


def _decoded(encoded: Any) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).removeprefix(BOM_UTF8)
    except (TypeError, ValueError):  # binascii's error is one of these
        raise _not_a_job(
            "expected base64 text (RFC 4648, section 4) of the job as JSON", "data_base64"
        ) from None


def _not_a_job(expected: str, field: str = "$") -> InvalidJob:
    return InvalidJob((Problem(field, expected),))


def problems_of(error: ValidationError) -> tuple[Problem, ...]:
    """The faults pydantic found, as field paths and expectations, without the values it saw."""
    faults = error.errors(include_url=False, include_input=False)
    # pydantic leaves faulty items out and then finds their list too short: the items' faults say enough.
    lists_with_faults = {fault["loc"][:depth] for fault in faults for depth in range(len(fault["loc"]))}
    return tuple(
        Problem(_path(fault["loc"]), words(fault["type"], fault["loc"], fault.get("ctx", {}), fault["msg"]))
        for fault in faults
        if fault["type"] != "too_short" or fault["loc"] not in lists_with_faults
    )


def _path(loc: tuple[int | str, ...]) -> str:
    parts = (str(part) for part in loc)
    # A producer chooses the names of unknown keys, so a name can be anything: keep it short and printable.
    return ".".join("".join(c for c in part if c.isprintable())[:_MAX_FIELD_NAME] for part in parts) or "$"
