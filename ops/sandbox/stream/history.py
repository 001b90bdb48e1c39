"""State of one interaction that later sockets need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ops.sandbox.stream.alignment import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class StreamHistory:
    """Shared by all sockets of an interaction; normally they are open one after the other."""

    #: Sockets opened so far.
    sockets: int = 0
    #: Seconds of audio decoded on all sockets.
    heard_seconds: float = 0.0
    #: All segments sent, in their JSON shape.
    segments: list[dict[str, Any]] = field(default_factory=list)
    #: Loudness of the scripted recording, for finding where the audio of a later socket begins.
    fingerprint: Fingerprint = field(default_factory=Fingerprint)
    #: Called with the facts that a REST request created or changed (PROTOCOL.md 4.5, item 8).
    listeners: list[Callable[[list[dict[str, Any]]], None]] = field(default_factory=list)
