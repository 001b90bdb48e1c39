"""The state of one server that all request handlers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from ops.sandbox.audio.recognise import Recogniser
    from ops.sandbox.clock import Clock
    from ops.sandbox.faults import Fault, Switchboard
    from ops.sandbox.rest.interactions import InteractionStore
    from ops.sandbox.settings import Settings
    from ops.sandbox.stats import Stats
    from ops.sandbox.tokens import TokenIssuer


@dataclass
class State:
    """The parts of one server; ``web.app`` makes them once."""

    settings: Settings
    clock: Clock
    tokens: TokenIssuer
    interactions: InteractionStore
    faults: Switchboard
    stats: Stats
    recogniser: Recogniser | None = None

    def put_in_force(self, fault: Fault) -> None:
        """Activate a fault; ``revoke_tokens`` and ``rotate_secret`` are done at once and not kept."""
        if fault.name == "revoke_tokens":
            self.tokens.revoke_all()
        elif fault.name == "rotate_secret":
            self.tokens.rotate(fault["secret"], fault.tenant)
        else:
            self.faults.add(fault)


STATE = web.AppKey("state", State)


def cut(request: web.Request) -> None:
    """Close the connection of a request without a reply."""
    if request.transport is not None:
        request.transport.abort()


def base_url(request: web.Request, *, socket: bool = False) -> str:
    """Return scheme, host and port of the request; with ``socket`` the scheme is ws or wss."""
    scheme = request.scheme
    if socket:
        scheme = "wss" if scheme == "https" else "ws"
    return f"{scheme}://{request.host}"
