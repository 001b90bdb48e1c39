"""Removes what no log line may show, whoever wrote it: tokens, credentials, paths and queries of URLs.

This is the second safeguard. The first is that nobody logs such things: messages are static, values are
codes, numbers and ids, and the texts of libraries are withheld.
"""

import re
from collections.abc import Mapping
from typing import Any

_GONE = "[redacted]"
#: Fields whose values are secrets, whatever they look like.
_SECRET_NAMES = re.compile(r"token$|secret|password|authorization|credential|encryption_key", re.IGNORECASE)
#: `scheme://user:password@host:port`, and whatever follows.
_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://([^\s/?#\"'<>]*)([^\s\"'<>]*)", re.IGNORECASE)
_BEARER = re.compile(r"\bBearer(?:\s|%20|\+)+[^\s\"'&]+", re.IGNORECASE)
#: A JSON Web Token starts with `{"`, in base64.
_JWT = re.compile(r"\beyJ[\w-]{5,}(\.[\w-]*)*")
_PAIR = re.compile(r"\b(\w*(?:token|secret|password|api_key))=[^\s&\"']+", re.IGNORECASE)


def redact(name: str, value: Any) -> Any:
    """A field of a log line as it may be shown.

    Args:
        name: The name of the field.
        value: Its value; lists and mappings are looked through.
    """
    if _SECRET_NAMES.search(name) and isinstance(value, str | bytes):
        return _GONE
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {str(key): redact(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(name, item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return f"<{type(value).__name__} withheld>"


def text(value: str) -> str:
    """A text without tokens and credentials; of each URL scheme and host remain."""
    if len(value) > 12:  # noqa: PLR2004  # the shortest secret is longer; most fields are codes and numbers
        value = _URL.sub(_shortened, value)
        value = _BEARER.sub(f"Bearer {_GONE}", value)
        value = _JWT.sub(_GONE, value)
        value = _PAIR.sub(rf"\1={_GONE}", value)
    return value


def _shortened(match: re.Match[str]) -> str:
    scheme, authority, rest = match.groups()
    if "@" in rest:
        # Perhaps a password with a slash in it: then what looks like the host is a part of the password.
        return f"{scheme}://..."
    return f"{scheme}://{authority.rpartition('@')[2]}{'/...' if rest.strip('/.,;:)') else rest}"
