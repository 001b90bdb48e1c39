"""Scripts: files with the transcript lines and facts to send, by their time in the recording."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from ops.sandbox.rest.facts import GROUPS
from ops.sandbox.stream.messages import Line, ScriptFact

if TYPE_CHECKING:
    from pathlib import Path

#: ``speakerId`` with diarisation. On the real service the number does not tell the role.
_SPEAKERS = {"doctor": 0, "patient": 1}
_MOST_CHANNELS = 8


class ScriptError(ValueError):
    """A script file is invalid."""


@dataclass(frozen=True)
class ScriptLine:
    """One line of a script. Times are seconds in the recording."""

    start: float
    end: float
    speaker: str
    channel: int
    text: str
    #: The only facts of the line; the sandbox derives no others.
    facts: tuple[ScriptFact, ...]

    def heard(self, *, base: float, multichannel: bool, diarize: bool) -> Line:
        """Return the line for a socket whose audio begins at second ``base`` of the recording."""
        return Line(
            text=self.text,
            start=max(0.0, self.start - base),
            end=max(0.0, self.end - base),
            channel=self.channel if multichannel else 0,
            speaker=_SPEAKERS[self.speaker] if diarize else -1,
            facts=self.facts,
        )


@dataclass(frozen=True)
class Script:
    """All lines of a script, ordered by their end."""

    language: str
    lines: tuple[ScriptLine, ...]

    @classmethod
    def load(cls, path: Path) -> Script:
        """Read a script file.

        Raises:
            ScriptError: not JSON, or not of the documented shape.
            OSError: the file cannot be read.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ScriptError(f"{path}: {error}") from error
        return cls.parse(raw)

    @classmethod
    def parse(cls, raw: Any) -> Script:
        """Check the content of a script file.

        Raises:
            ScriptError: not of the documented shape.
        """
        if not isinstance(raw, dict) or not isinstance(raw.get("lines"), list):
            raise ScriptError("a script is an object with a list of lines")
        lines = [_line(number, entry) for number, entry in enumerate(raw["lines"], start=1)]
        return cls(
            str(raw.get("language", "en")), tuple(sorted(lines, key=lambda line: (line.end, line.start)))
        )


def _line(number: int, raw: Any) -> ScriptLine:
    where = f"line {number}"
    if not isinstance(raw, dict):
        raise ScriptError(f"{where} is not an object")
    start, end, channel = raw.get("start"), raw.get("end"), raw.get("channel", 0)
    if not (_is_number(start) and _is_number(end) and 0 <= start < end):
        raise ScriptError(f"{where}: start and end must be seconds, start before end")
    if raw.get("speaker", "doctor") not in _SPEAKERS:
        raise ScriptError(f"{where}: speaker must be doctor or patient")
    if not isinstance(channel, int) or isinstance(channel, bool) or not 0 <= channel < _MOST_CHANNELS:
        raise ScriptError(f"{where}: channel must be an integer from 0 to {_MOST_CHANNELS - 1}")
    if not isinstance(raw.get("text"), str) or not raw["text"]:
        raise ScriptError(f"{where}: text is missing")
    facts = raw.get("facts", [])
    if not isinstance(facts, list):
        raise ScriptError(f"{where}: facts must be a list")
    return ScriptLine(
        start=float(start),
        end=float(end),
        speaker=raw.get("speaker", "doctor"),
        channel=channel,
        text=raw["text"],
        facts=tuple(_fact(where, entry) for entry in facts),
    )


def _fact(where: str, raw: Any) -> ScriptFact:
    if not isinstance(raw, dict) or not isinstance(raw.get("text"), str) or not raw["text"]:
        raise ScriptError(f"{where}: a fact needs a text")
    if raw.get("group") not in GROUPS:
        raise ScriptError(f"{where}: {raw.get('group')!r} is no group of facts")
    key, discarded = raw.get("id"), raw.get("discarded", False)
    if (key is not None and not isinstance(key, str)) or not isinstance(discarded, bool):
        raise ScriptError(f"{where}: the id of a fact is a string, discarded is true or false")
    return ScriptFact(raw["group"], raw["text"], key, discarded)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
