"""The states of a socket, and the durations that the server uses."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.Enum):
    """The state of a socket; it only moves forward in this order."""

    AWAITING_CONFIG = enum.auto()
    STREAMING = enum.auto()
    #: ``end`` was received; the remaining audio is being processed.
    DRAINING = enum.auto()
    #: All input is ignored, and no new replies are made.
    CLOSED = enum.auto()


@dataclass(frozen=True)
class StreamPolicy:
    """Durations, all in seconds except the factor ``time_scale``; see ``Settings``."""

    config_deadline: float = 10.0
    latency: float = 0.0
    time_scale: float = 1.0
    facts_every: float | None = None
