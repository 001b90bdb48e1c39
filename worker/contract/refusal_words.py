"""What is said about a wrong value of a job: what was expected in its place, in words, with an example.

pydantic's own texts show regular expressions and speak of input and of types. Who reads a refusal writes a
producer in some language, and wants to know what to write.
"""

import re
from collections.abc import Mapping
from typing import Any

#: An example for each key of a job, by its path without the numbers of list items.
EXAMPLES: Mapping[str, str] = {
    "job_id": '"visit-4711"',
    "audio": '{"uri": "https://ehr.example/audio/4711.wav"}',
    "audio.uri": '"https://ehr.example/audio/4711.wav"',
    "audio.data": '"UklGRiQAAABXQVZF..."',
    "audio.media_type": '"audio/wav"',
    "audio.sha256": '"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
    "audio.when_truncated": '"refuse"',
    "audio.channels": "[1, 0]",
    "audio.channels.*": "1",
    "audio.mix": "true",
    "encounter": '{"identifier": "encounter-4711"}',
    "encounter.identifier": '"encounter-4711"',
    "encounter.status": '"planned"',
    "encounter.type": '"consultation"',
    "encounter.period": '{"started_at": "2026-03-01T09:00:00Z"}',
    "encounter.period.started_at": '"2026-03-01T09:00:00Z"',
    "encounter.period.ended_at": '"2026-03-01T09:20:00+01:00"',
    "encounter.title": '"Follow-up"',
    "patient": '{"identifier": "patient-12"}',
    "patient.identifier": '"patient-12"',
    "patient.name": '"Ada Example"',
    "patient.gender": '"female"',
    "patient.birth_date": '"1970-01-31"',
    "patient.pronouns": '"she/her"',
    "assigned_user_id": '"3fa85f64-5717-4562-b3fc-2c963f66afa6"',
    "transcription": '{"language": "en"}',
    "transcription.language": '"en" or "de-CH"',
    "transcription.diarize": "true",
    "transcription.multichannel": "false",
    "transcription.participants": '[{"channel": 0, "role": "doctor"}]',
    "transcription.participants.*": '{"channel": 0, "role": "doctor"}',
    "transcription.participants.channel": "0",
    "transcription.participants.role": '"doctor"',
    "transcription.keyterms": '["metoprolol"]',
    "transcription.keyterms.*": '"metoprolol"',
    "transcription.replacements.*": '{"find": "X ray", "replace": "X-ray"}',
    "transcription.replacements": '[{"find": "X ray", "replace": "X-ray"}]',
    "transcription.replacements.find": '"X ray"',
    "transcription.replacements.replace": '"X-ray"',
    "output": '{"mode": "facts"}',
    "output.mode": '"facts"',
    "output.locale": '"en"',
    "output.fact_interval": '"fixed"',
    "output.retention": '"none"',
    "pace": "1",
    "tenant": '"clinic-north"',
    "events": '["progress"]',
    "events.*": '"progress"',
    "reply_to": '"corti.results.ehr"',
    "not_after": '"2026-03-01T12:00:00Z"',
    "traceparent": '"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"',
    "metadata": '{"ward": "7b"}',
}

_NAME = "a letter or digit, then letters, digits and"
#: What is expected where a key has a form of its own.
_FORMS: Mapping[str, str] = {
    "job_id": f"1 to 128 characters: {_NAME} . _ : @ -",
    "audio.media_type": "a MIME type of audio",
    "audio.sha256": "64 hexadecimal digits",
    "patient.birth_date": "a date, or a time with its offset (RFC 3339)",
    "assigned_user_id": "a UUID",
    "transcription.language": "a language tag",
    "output.locale": "a language tag",
    "tenant": f"1 to 64 characters: {_NAME} . _ -",
    "reply_to": f"the name of a queue, 1 to 128 characters: {_NAME} . _ : -",
    "traceparent": "a W3C traceparent",
}

#: What pydantic's kinds of faults mean; `{...}` is filled from the constraint that was broken.
_KINDS: Mapping[str, str] = {
    "string_type": "text in quotes",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number without quotes",
    "float_parsing": "a number without quotes",
    "finite_number": "a number",
    "bool_type": "true or false without quotes",
    "bool_parsing": "true or false without quotes",
    "greater_than": "a number greater than {gt:g}",
    "greater_than_equal": "a number not less than {ge:g}",
    "less_than": "a number less than {lt:g}",
    "less_than_equal": "a number not greater than {le:g}",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "an object with keys",
    "model_type": "an object with keys",
    "model_attributes_type": "an object with keys",
    "dataclass_type": "an object with keys",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of at most {max_length}",
    "timezone_aware": "a time with its offset (RFC 3339)",
}
_NO_SUCH_KEY = "no such key: the contract does not know it"
_MISSING = "a required key is missing"
_OURS = "Value error, "


def words(kind: str, loc: tuple[int | str, ...], context: Mapping[str, Any], message: str) -> str:
    """What was expected.

    Args:
        kind: pydantic's kind of the fault.
        loc: Where it is.
        context: The constraint that was broken; never the value.
        message: pydantic's text, of which only our own ones are used.
    """
    if kind == "extra_forbidden":
        return _NO_SUCH_KEY
    path = ".".join(part for part in loc if isinstance(part, str))
    of_item = bool(loc) and isinstance(loc[-1], int)
    example = EXAMPLES.get(f"{path}.*" if of_item else path)
    hint = f", such as {example}" if example else ""
    if kind == "missing":
        return f"{_MISSING}{hint}"
    if message.startswith(_OURS):
        return message.removeprefix(_OURS)
    if kind == "literal_error":  # its words are examples
        return f"expected one of {_list(str(context.get('expected', '')))}"
    return f"expected {_what(kind, path, context)}{hint}"


def _what(kind: str, path: str, context: Mapping[str, Any]) -> str:
    if kind == "string_pattern_mismatch":
        return _FORMS.get(path, "text of another form")
    if kind.startswith(("datetime", "date", "time")) and kind != "timezone_aware":
        return "a time with its offset (RFC 3339)"
    text = _KINDS.get(kind)
    return text.format(**context) if text else "another value"


def _list(alternatives: str) -> str:
    """`'a', 'b' or 'c'` in JSON's quotes."""
    return re.sub(r"'([^']*)'", r'"\1"', alternatives)
