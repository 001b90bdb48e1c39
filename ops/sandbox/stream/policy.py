"""The states of a socket, and the times the server keeps."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.Enum):
    """How far a socket has come."""

    AWAITING_CONFIG = enum.auto()
    STREAMING = enum.auto()
    #: ``end`` was received; what is left is being worked through.
    DRAINING = enum.auto()
    #: Nothing more is said or understood.
    CLOSED = enum.auto()


@dataclass(frozen=True)
class StreamPolicy:
    """The times that the server keeps."""

    config_deadline: float = 10.0
    latency: float = 0.0
    time_scale: float = 1.0
    facts_every: float | None = None
