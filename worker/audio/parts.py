"""What HTTP headers say of a file and of its parts (RFC 9110, sections 8.8 and 14). Pure.

A download is put together from parts of several answers. That must never mix two states of the file, so an
answer counts only if a strong validator says that the file is the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

#: Letters that HTTP allows in a strong ETag, without those outside of ASCII, and not too many of them: it is
#: sent back in a header.
_STRONG = re.compile(r'"[!#-~]{0,256}"')
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
#: A file could change twice within the second that its date names. Servers and RFC 9110 allow this distance.
_SURE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class State:
    """One state of a file at a server.

    Attributes:
        validator: A strong ETag, or the date of the last change: other states have another.
        size: Bytes of the whole file.
        tag: The ETag, also a weak one; empty if there is none.
    """

    validator: str
    size: int
    tag: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "State | None":
        """The state that an answer with the whole file is of; None if its parts could not be recognised.

        Args:
            headers: Of the answer, whose names may be asked for in any spelling.
        """
        size = length(headers)
        validator = _validator(headers)
        if size is None or validator is None or encoded(headers):
            return None
        return cls(validator, size, _tag(headers))

    def is_of(self, headers: Mapping[str, str]) -> bool:
        """Whether an answer is of the same state."""
        tag = _tag(headers)
        if tag == self.validator:
            return True
        if self.validator.startswith('"') or (tag and self.tag and tag != self.tag):
            return False
        # A server leaves the date out where it was asked by `If-Range`, and answers with a part if it agrees.
        return headers.get("Last-Modified", self.validator).strip() == self.validator


def length(headers: Mapping[str, str]) -> int | None:
    """Bytes of the body, if the header says so."""
    value = headers.get("Content-Length", "")
    if not (value.isascii() and value.isdigit()):
        return None
    # Python refuses to read thousands of digits; 19 are more than any limit.
    return int(value.lstrip("0")[:19] or 0)


def encoded(headers: Mapping[str, str]) -> bool:
    """Whether the body is not the file itself, but for example compressed."""
    return headers.get("Content-Encoding", "identity").strip().lower() != "identity"


def gives_ranges(headers: Mapping[str, str]) -> bool:
    """Whether the server announces that it sends parts of this file."""
    return "bytes" in {unit.strip().lower() for unit in headers.get("Accept-Ranges", "").split(",")}


def part(headers: Mapping[str, str]) -> tuple[int, int, int] | None:
    """Offset of the first byte of a part, offset behind its last byte, and bytes of the whole file."""
    found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        return None
    first, last, whole = map(int, found.groups())
    return (first, last + 1, whole) if first <= last < whole else None


def _tag(headers: Mapping[str, str]) -> str:
    return headers.get("ETag", "").strip()


def _validator(headers: Mapping[str, str]) -> str | None:
    tag = _tag(headers)
    if _STRONG.fullmatch(tag):
        return tag
    changed, now = (_date(headers.get(name, "")) for name in ("Last-Modified", "Date"))
    if changed is None or now is None or now - changed < _SURE:
        return None
    return headers["Last-Modified"].strip()


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value) if value.isascii() and value.strip().isprintable() else None
    except (ValueError, TypeError):
        return None
    return found if found is not None and found.tzinfo is not None else None
