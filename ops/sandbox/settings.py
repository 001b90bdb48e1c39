"""The settings of one sandbox process, read from its command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ops.sandbox.faults import Fault
    from ops.sandbox.stream.script import Script


@dataclass(frozen=True)
class Settings:
    """All settings of the server; the README lists them as options."""

    host: str = "127.0.0.1"
    #: 0 lets the kernel pick a free port.
    port: int = 0
    #: 0 as above; ``None`` serves plain http and ws only.
    tls_port: int | None = 0
    #: Each is also the name of a realm (PROTOCOL.md 1); the first is printed as ``tenant``.
    tenants: tuple[str, ...] = ("base",)
    #: The client of every realm that is not in ``clients``.
    client_id: str = "sandbox"
    client_secret: str = field(default="sandbox-secret", repr=False)
    #: Client id and secret by realm.
    clients: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    #: Lifetime of an access token in seconds (PROTOCOL.md 2.2).
    token_seconds: float = 300.0
    script: Script | None = None
    recognise: bool = False
    #: Seconds of audio between facts messages, not scaled; replaces both documented intervals.
    facts_every: float | None = None
    #: Factor on the intervals in audio time: documented facts intervals, delta_usage, long silence.
    time_scale: float = 1.0
    #: Seconds between the end of a segment and its transcript message.
    latency: float = 0.0
    #: Seconds a client has to send its configuration (PROTOCOL.md 4.5, item 2).
    config_deadline: float = 10.0
    #: Directory for the CA bundle; ``None`` means a temporary directory.
    state_dir: Path | None = None
    faults: tuple[Fault, ...] = ()
    access_log: bool = False
