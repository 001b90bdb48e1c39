"""What one interaction remembers from socket to socket."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ops.sandbox.stream.alignment import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class StreamHistory:
    """Shared by all sockets of an interaction, one after the other or, wrongly, at once."""

    #: Sockets opened so far.
    sockets: int = 0
    #: Seconds of audio heard on all of them.
    heard_seconds: float = 0.0
    #: Segments sent, as they went over the wire.
    segments: list[dict[str, Any]] = field(default_factory=list)
    #: How loud the scripted recording was, to recognise where a resumed one begins.
    fingerprint: Fingerprint = field(default_factory=Fingerprint)
    #: Called with facts that the REST side created or changed (PROTOCOL.md 4.5, item 8).
    listeners: list[Callable[[list[dict[str, Any]]], None]] = field(default_factory=list)
