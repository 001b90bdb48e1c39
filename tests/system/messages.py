"""A generator of invalid job messages, of every kind that was seen on such queues and of some worse kinds."""

import base64
import json
from typing import Any

from hypothesis import strategies as st

_VALID: dict[str, Any] = {
    "job_id": "fuzz",
    "audio": {"uri": "file:///nowhere.wav"},
    "transcription": {"language": "en"},
}
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=15,
)


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def _wrong_type(draw: st.DrawFn) -> bytes:
    key = draw(st.sampled_from(sorted(_VALID)))
    value = draw(_json.filter(lambda value: not isinstance(value, dict | str)))
    return _encoded({**_VALID, key: value})


def _deep(draw: st.DrawFn) -> bytes:
    depth = draw(st.integers(150, 20_000))
    opening, closing = draw(st.sampled_from([(b"[", b"]"), (b'{"a":', b"}")]))
    return opening * depth + b"1" + closing * depth


def _celery_envelope(draw: st.DrawFn) -> bytes:
    body = base64.b64encode(_encoded([[draw(_json)], {}, {}])).decode()
    task = draw(st.sampled_from(["corti.transcribe", "some.other.task", ""]))
    return _encoded(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"task": task, "id": draw(st.uuids().map(str)), "lang": "py"},
            "properties": {
                "correlation_id": "x",
                "delivery_info": {"exchange": "", "routing_key": "corti.work"},
                "delivery_tag": "x",
                "body_encoding": "base64",
            },
        }
    )


_SMALL = ["truncated", "list", "type", "deep", "encoding", "celery", "binary", "key", "any"]


@st.composite
def bad_messages(draw: st.DrawFn) -> bytes:
    """One message that the contract refuses."""
    # One huge message in about forty is enough, and keeps the test from making a gigabyte of messages.
    kind = draw(st.sampled_from([*_SMALL * 4, "huge"]))
    match kind:
        case "truncated":
            text = _encoded(_VALID)
            return text[: draw(st.integers(0, len(text) - 1))]
        case "list":
            return _encoded(draw(st.lists(_json)))
        case "type":
            return _wrong_type(draw)
        case "huge":
            return _encoded({**_VALID, "padding": "x" * draw(st.integers(1 << 20, 3 << 20))})
        case "deep":
            return _deep(draw)
        case "encoding":
            encoding = draw(st.sampled_from(["utf-16", "utf-32", "utf-16-be"]))
            wide = json.dumps({**_VALID, "job_id": draw(st.text(min_size=1))}, ensure_ascii=False)
            return wide.encode(encoding, "backslashreplace")
        case "celery":
            return _celery_envelope(draw)
        case "binary":
            return draw(st.binary(max_size=2000))
        case "key":
            return _encoded({**_VALID, draw(st.text().filter(lambda key: key not in _OPTIONAL)): draw(_json)})
        case _:
            return _encoded(draw(_json))


_OPTIONAL = frozenset(_VALID) | {
    "encounter",
    "patient",
    "assigned_user_id",
    "output",
    "pace",
    "tenant",
    "events",
    "reply_to",
    "not_after",
    "traceparent",
    "metadata",
}
