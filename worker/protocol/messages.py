"""The text messages of a stream, to and from Corti (PROTOCOL.md 4.2 to 4.4).

Reading is lenient, because the sources disagree in places (PROTOCOL.md 10) and because an
unknown key must never cost a consultation: what cannot be understood becomes `Unknown`.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from worker.contract.events import Fact, HeardSegment
from worker.contract.job import Job

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """`CONFIG_ACCEPTED` and its relatives. Their `reason` is a server's text, so it is not kept."""

    status: str

    @property
    def accepted(self) -> bool:
        """Whether audio may be sent now (PROTOCOL.md 4.4: a repeated config leaves the stream going)."""
        return self.status in {"CONFIG_ACCEPTED", "CONFIG_ALREADY_RECEIVED"}

    @property
    def timed_out(self) -> bool:
        """Whether the configuration came too late for the server, which another attempt can cure."""
        return self.status in {"CONFIG_NOT_PROVIDED", "CONFIG_TIMEOUT", "CONFIG-TIMEOUT", "CONFIG_MISSING"}


@dataclass(frozen=True, slots=True)
class TranscriptMessage:
    """New segments."""

    segments: tuple[HeardSegment, ...]


@dataclass(frozen=True, slots=True)
class FactsMessage:
    """New or changed facts."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Credits of the stream; `final` when it is the last word on them."""

    credits: float
    final: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The server has said everything."""


@dataclass(frozen=True, slots=True)
class StreamError:
    """An `error` message. `code` is the server's error id if it looks like a code, else `unknown`."""

    code: str
    status: int | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message that means nothing to us: an unknown type, or no JSON at all."""


Message = ConfigStatus | TranscriptMessage | FactsMessage | Usage | Ended | StreamError | Unknown


def parse(text: str | bytes) -> Message:
    """Read one message of the server. Never raises because of what it says."""
    try:
        value = _json(text)
        kind = value["type"]
        upper = kind.upper()
        if upper == "TRANSCRIPT":
            return TranscriptMessage(tuple(map(_segment, value["data"])))
        if upper == "FACTS":
            # `fact` is what the live service sends, `data` what its older page shows (PROTOCOL.md 10, row 4).
            return FactsMessage(tuple(map(_fact, value["fact"] if "fact" in value else value["data"])))
        if upper in {"USAGE", "DELTA_USAGE"}:
            return Usage(_number(value["credits"]), final=upper == "USAGE")
        if upper == "ENDED":
            return Ended()
        if upper == "ERROR":
            return _stream_error(value.get("error") or {})
        if upper.startswith("CONFIG"):
            return ConfigStatus(upper)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        pass
    return Unknown()


def _json(text: str | bytes) -> Any:
    try:
        # Three times as fast as the standard library's parser, which accepts some texts that this one does
        # not. Only keys are cached: the cache lives as long as the process and must not hold patients' words.
        return from_json(text, cache_strings="keys")
    except ValueError:
        return json.loads(text)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _text(value: Any) -> str:
    # Half a surrogate pair can be written in JSON but not in UTF-8: as "?" it cannot break our events.
    return str(value).encode(errors="replace").decode()


def _segment(value: dict[str, Any]) -> HeardSegment:
    speaker = value.get("speakerId")
    return HeardSegment(
        text=_text(value["transcript"]),
        start=float(value["time"]["start"]),
        end=float(value["time"]["end"]),
        channel=int((value.get("participant") or {}).get("channel") or 0),
        # -1 stands for "diarization is off" (PROTOCOL.md 4.4).
        speaker=None if speaker is None or int(speaker) < 0 else int(speaker),
        final=bool(value.get("final", True)),
    )


def _fact(value: dict[str, Any]) -> Fact:
    return Fact(
        id=_text(value["id"]),
        text=_text(value["text"]),
        group=_text(value.get("group") or "other"),
        source=_text(value.get("source") or "core"),
        discarded=bool(value.get("isDiscarded", False)),
        created_at=None if value.get("createdAt") is None else _text(value["createdAt"]),
        updated_at=None if value.get("updatedAt") is None else _text(value["updatedAt"]),
    )


def _stream_error(error: dict[str, Any]) -> StreamError:
    code, status = error.get("id"), error.get("status")
    return StreamError(
        code=code if isinstance(code, str) and _CODE.fullmatch(code) else "unknown",
        status=status if isinstance(status, int) else None,
    )


END = '{"type":"end"}'


def configuration(job: Job, audio_format: str | None) -> str:
    """The `config` message for a job (PROTOCOL.md 4.3).

    Args:
        job: The job.
        audio_format: MIME string of the audio, or None to let the server find out.
    """
    wanted = job.transcription
    value: dict[str, Any] = {
        "transcription": {
            "primaryLanguage": wanted.language,
            "diarize": wanted.diarize,
            "isDiarization": wanted.diarize,
            "isMultichannel": wanted.multichannel,
            "participants": [{"channel": p.channel, "role": p.role} for p in wanted.participants],
        },
        # `outputLocale` is sent always: required for facts by the guide, optional by the schema (10, row 15).
        "mode": {"type": job.output.mode, "outputLocale": job.output.locale or wanted.language},
    }
    if job.output.mode == "facts":
        value["mode"]["factGenerationInterval"] = job.output.fact_interval
    if job.output.retention:
        value["retentionPolicy"] = job.output.retention
    if audio_format:
        value["audioFormat"] = audio_format
    if wanted.keyterms:
        value["keyterms"] = {"terms": [{"term": term} for term in wanted.keyterms]}
    if wanted.replacements:
        value["replacements"] = [{"find": r.find, "replace": r.replace} for r in wanted.replacements]
    return json.dumps({"type": "config", "configuration": value}, ensure_ascii=False)
