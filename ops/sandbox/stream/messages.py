"""The messages of the server, and the other things the protocol object may ask its shell to do."""

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
    """Send something that is no valid message: text or binary as it is."""

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
    """From now on neither read nor write anything, but keep the connection."""


Reply = Send | SendRaw | Close | Abort | FallSilent


@dataclass(frozen=True)
class Line:
    """One piece of transcript. Times are seconds from the start of the socket's audio."""

    text: str
    start: float
    end: float
    channel: int = 0
    speaker: int = -1
    #: Facts that the line states, as (group, text, key, discarded); ``None`` lets the sandbox quote the line.
    facts: tuple[ScriptFact, ...] | None = None


@dataclass(frozen=True)
class ScriptFact:
    """A fact attached to a line of a script."""

    group: str
    text: str
    #: Lines that use the same key state the same fact anew.
    key: str | None = None
    discarded: bool = False


def config_status(kind: str, *, reason: str | None = None, configuration: Any = None) -> Send:
    """CONFIG_ACCEPTED with the resolved configuration, or one of the refusals (PROTOCOL.md 4.4)."""
    message: dict[str, Any] = {"type": kind}
    if reason is not None:
        message["reason"] = reason
    if configuration is not None:
        message["configuration"] = configuration
    return Send(message)


def segment(interaction_id: str, line: Line, *, offset: float, final: bool = True) -> dict[str, Any]:
    """One element of ``transcript.data``; its id is that of the interaction (PROTOCOL.md 4.4)."""
    return {
        "id": interaction_id,
        "transcript": line.text,
        "final": final,
        "speakerId": line.speaker,
        "participant": {"channel": line.channel},
        "time": {"start": round(line.start + offset, 3), "end": round(line.end + offset, 3)},
    }


def transcript(segments: list[dict[str, Any]]) -> Send:
    """Segments of speech as text."""
    return Send({"type": "transcript", "data": segments})


def facts(entries: list[dict[str, Any]], *, key: str = "fact") -> Send:
    """Facts; the key of the list is in the singular (PROTOCOL.md 4.4)."""
    return Send({"type": "facts", key: entries})


def usage(credits_used: float, *, final: bool) -> Send:
    """Credits so far, or of the whole stream."""
    return Send({"type": "usage" if final else "delta_usage", "credits": round(credits_used, 4)})


def audio_event(event: SilenceStarted | SilenceOver, *, name: str) -> Send:
    """Something about the sound itself."""
    data = {"event": name, "channel": event.channel, "startTimeMs": round(event.at * 1000)}
    return Send({"type": "audioEvent", "data": data})


def error(identifier: str, title: str, details: str, *, status: int = 400, request: str = "") -> Send:
    """An error; whether the stream goes on is not part of the message (PROTOCOL.md 4.4)."""
    inner = {"id": identifier, "title": title, "status": status, "details": details, "doc": ""}
    return Send({"type": "error", "error": {"requestid": request, **inner}})


FLUSHED = Send({"type": "flushed"})
ENDED = Send({"type": "ENDED"})
