"""The messages of the server, and the actions that ``StreamProtocol`` returns to ``StreamSocket``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ops.sandbox.audio.voice import SilenceOver, SilenceStarted


@dataclass(frozen=True)
class Send:
    """Send one JSON message as text."""

    message: dict[str, Any]


@dataclass(frozen=True)
class SendRaw:
    """Send an invalid message: a text or binary frame with this content."""

    payload: str | bytes


@dataclass(frozen=True)
class Close:
    """Close the socket with a closing handshake."""

    code: int = 1000
    reason: str = ""


@dataclass(frozen=True)
class Abort:
    """Reset the TCP connection."""


@dataclass(frozen=True)
class FallSilent:
    """Stop reading and writing, but keep the connection open."""


Reply = Send | SendRaw | Close | Abort | FallSilent


@dataclass(frozen=True)
class Line:
    """One transcript line. Times are seconds from the start of the socket's audio."""

    text: str
    start: float
    end: float
    channel: int = 0
    speaker: int = -1
    #: Facts to send for the line; ``None`` makes one fact that quotes it.
    facts: tuple[ScriptFact, ...] | None = None


@dataclass(frozen=True)
class ScriptFact:
    """A fact that belongs to a line of a script."""

    group: str
    text: str
    #: Facts with the same key are one fact: a later one changes it.
    key: str | None = None
    discarded: bool = False


def config_status(kind: str, *, reason: str | None = None, configuration: Any = None) -> Send:
    """Make CONFIG_ACCEPTED with the resolved configuration, or a refusal (PROTOCOL.md 4.4)."""
    message: dict[str, Any] = {"type": kind}
    if reason is not None:
        message["reason"] = reason
    if configuration is not None:
        message["configuration"] = configuration
    return Send(message)


def segment(interaction_id: str, line: Line, *, offset: float, final: bool = True) -> dict[str, Any]:
    """Make one element of ``transcript.data``; its times are those of ``line`` plus ``offset`` seconds."""
    return {
        "id": interaction_id,
        "transcript": line.text,
        "final": final,
        "speakerId": line.speaker,
        "participant": {"channel": line.channel},
        "time": {"start": round(line.start + offset, 3), "end": round(line.end + offset, 3)},
    }


def transcript(segments: list[dict[str, Any]]) -> Send:
    """Make the message with these segments."""
    return Send({"type": "transcript", "data": segments})


def facts(entries: list[dict[str, Any]], *, key: str = "fact") -> Send:
    """Make the message with these facts; the documented key is singular (PROTOCOL.md 4.4)."""
    return Send({"type": "facts", key: entries})


def usage(credits_used: float, *, final: bool) -> Send:
    """Make ``usage`` with the credits of the whole stream, or ``delta_usage`` with those so far."""
    return Send({"type": "usage" if final else "delta_usage", "credits": round(credits_used, 4)})


def audio_event(event: SilenceStarted | SilenceOver, *, name: str) -> Send:
    """Make an ``audioEvent`` for the start or end of a long silence."""
    data = {"event": name, "channel": event.channel, "startTimeMs": round(event.at * 1000)}
    return Send({"type": "audioEvent", "data": data})


def error(identifier: str, title: str, details: str, *, status: int = 400, request: str = "") -> Send:
    """Make an ``error``; it does not contain whether the stream continues (PROTOCOL.md 4.4)."""
    inner = {"id": identifier, "title": title, "status": status, "details": details, "doc": ""}
    return Send({"type": "error", "error": {"requestid": request, **inner}})


FLUSHED = Send({"type": "flushed"})
ENDED = Send({"type": "ENDED"})
