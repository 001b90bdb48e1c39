"""Validate the ``configuration`` of a stream and fill in defaults (PROTOCOL.md 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ops.sandbox.audio.format import AudioFormat, ContainerFormat, FormatError, parse_format

#: All languages that the documentation of 2026 lists (PROTOCOL.md 6).
LANGUAGES = frozenset(
    "ar da de de-CH en en-GB es fr gsw-CH hu it nl no pt sv".split()  # noqa: SIM905 -- reads better
)
#: Also dialects; ``fr-CH`` is documented for document templates only (PROTOCOL.md 6).
OUTPUT_LOCALES = LANGUAGES | {"en-US", "fr-CH"}
ROLES = ("doctor", "patient", "multiple")
_RETENTION = ("retain", "none")
_LEGACY_RETENTION = "X-Corti-Retention-Policy"
_MOST_TERMS, _LONGEST_TERM, _HIGHEST_CHANNEL = 1000, 50, 7


class ConfigurationError(ValueError):
    """A configuration is denied; the text becomes the ``reason``."""


@dataclass(frozen=True)
class Configuration:
    """An accepted configuration."""

    language: str
    facts_mode: bool
    diarize: bool = False
    multichannel: bool = False
    fast_init: bool = False
    stores: bool = True
    audio_events: bool = False
    audio_format: AudioFormat = field(default_factory=ContainerFormat)
    replacements: tuple[tuple[str, str], ...] = ()
    #: The ``configuration`` of ``CONFIG_ACCEPTED``: the received keys, with defaults filled in.
    resolved: dict[str, Any] = field(default_factory=dict)


def parse_configuration(raw: object) -> Configuration:
    """Validate the ``configuration`` object of a config message.

    Unknown keys are kept in ``resolved`` and otherwise ignored, as the service ignores a
    ``factGenerationInterval`` at the top level (PROTOCOL.md 4.3).

    Raises:
        ConfigurationError: the configuration is invalid.
    """
    top = _object(raw, "configuration")
    transcription = _object(top.get("transcription"), "transcription")
    mode = _object(top.get("mode"), "mode")
    language = _choice(transcription.get("primaryLanguage"), "transcription.primaryLanguage")
    if language not in LANGUAGES:
        raise ConfigurationError(f"language unavailable: {language}")
    old_name = _flag(transcription, "isDiarization", "transcription.")
    # The current name takes precedence over the deprecated name; both are echoed (PROTOCOL.md 4.3).
    diarize = _flag(transcription, "diarize", "transcription.", default=old_name)
    multichannel = _flag(transcription, "isMultichannel", "transcription.")
    participants = _participants(transcription.get("participants"))
    kind = _choice(mode.get("type"), "mode.type", ("facts", "transcription"))
    mode = {**mode, **_mode(mode, kind)}
    audio_format = top.get("audioFormat")
    if audio_format is not None and not isinstance(audio_format, str):
        raise ConfigurationError("audioFormat must be a string")
    try:
        form = parse_format(audio_format)
    except FormatError as error:
        raise ConfigurationError(str(error)) from None
    retention = top.get("retentionPolicy", top.get(_LEGACY_RETENTION))
    if retention is not None:
        _choice(retention, "retentionPolicy", _RETENTION)
    events = _flag(_object(top.get("audioEvents", {}), "audioEvents"), "enabled", "audioEvents.")
    replacements = _replacements(top.get("replacements"))
    _key_terms(top.get("keyterms"))
    resolved = {
        **top,
        "transcription": {
            **transcription,
            "diarize": diarize,
            "isDiarization": diarize,
            "isMultichannel": multichannel,
            "participants": participants,
        },
        "mode": mode,
        "audioEvents": {"enabled": events},
    }
    return Configuration(
        language=language,
        facts_mode=kind == "facts",
        diarize=diarize,
        multichannel=multichannel,
        fast_init=mode.get("factGenerationInterval") == "fast_init",
        stores=retention != "none",
        audio_events=events,
        audio_format=form,
        replacements=replacements,
        resolved=resolved,
    )


def _mode(mode: dict[str, Any], kind: str) -> dict[str, Any]:
    if mode.get("outputLocale") is not None:
        locale = _choice(mode["outputLocale"], "mode.outputLocale")
        if locale not in OUTPUT_LOCALES:
            raise ConfigurationError(f"output locale unavailable: {locale}")
    elif kind == "facts":
        # The schema says optional, the guide says required (PROTOCOL.md 10, row 15). A strict check finds
        # clients that omit it.
        raise ConfigurationError("mode.outputLocale is required when mode.type is facts")
    interval = mode.get("factGenerationInterval", "fixed")
    _choice(interval, "mode.factGenerationInterval", ("fixed", "fast_init"))
    return {"factGenerationInterval": interval} if kind == "facts" else {}


def _participants(raw: object) -> list[dict[str, Any]]:
    # The schema requires one entry, but the live service accepts an empty list (PROTOCOL.md 10, row 14).
    if not isinstance(raw, list):
        raise ConfigurationError("transcription.participants must be a list")
    for entry in raw:
        participant = _object(entry, "participant")
        channel = participant.get("channel")
        if not isinstance(channel, int) or isinstance(channel, bool) or not 0 <= channel <= _HIGHEST_CHANNEL:
            raise ConfigurationError(f"participant channel must be an integer from 0 to {_HIGHEST_CHANNEL}")
        _choice(participant.get("role"), "participant role", ROLES)
    return raw


def _replacements(raw: object) -> tuple[tuple[str, str], ...]:
    entries = [] if raw is None else raw
    if not isinstance(entries, list) or len(entries) > _MOST_TERMS:
        raise ConfigurationError(f"replacements must be a list of at most {_MOST_TERMS}")
    pairs = []
    for entry in entries:
        find, replace = (_object(entry, "replacement").get(key) for key in ("find", "replace"))
        if not isinstance(find, str) or not find or not isinstance(replace, str):
            raise ConfigurationError("each replacement needs find and replace")
        pairs.append((find, replace))
    return tuple(pairs)


def _key_terms(raw: object) -> None:
    terms = [] if raw is None else _object(raw, "keyterms").get("terms")
    if not isinstance(terms, list) or len(terms) > _MOST_TERMS:
        raise ConfigurationError(f"keyterms.terms must be a list of at most {_MOST_TERMS}")
    for entry in terms:
        term = _object(entry, "keyterm").get("term")
        if not isinstance(term, str) or not 0 < len(term) <= _LONGEST_TERM:
            raise ConfigurationError(f"each keyterm must be a string of at most {_LONGEST_TERM} characters")


def _object(raw: object, name: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{name} must be an object")
    return raw


def _flag(owner: dict[str, Any], name: str, path: str, *, default: bool = False) -> bool:
    value = owner.get(name, default)
    if not isinstance(value, bool):
        raise ConfigurationError(f"{path}{name} must be true or false")
    return value


def _choice(value: object, name: str, allowed: tuple[str, ...] | None = None) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name} is required and must be a string")
    if allowed is not None and value not in allowed:
        raise ConfigurationError(f"{name} must be one of {', '.join(allowed)}, not {value}")
    return value
