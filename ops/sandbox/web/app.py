"""Build the application of one server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from ops.sandbox.clock import Clock
from ops.sandbox.faults import Switchboard
from ops.sandbox.rest.interactions import InteractionStore
from ops.sandbox.stats import Stats
from ops.sandbox.tokens import Client, TokenIssuer
from ops.sandbox.web import admin, auth, rest, streams
from ops.sandbox.web.state import STATE, State

if TYPE_CHECKING:
    from ops.sandbox.settings import Settings


def make_app(settings: Settings) -> web.Application:
    """Make the application that serves authentication, REST, sockets and the control API for tests."""
    clock = Clock()
    state = State(
        settings=settings,
        clock=clock,
        tokens=TokenIssuer(
            clients={
                realm: Client(*settings.clients.get(realm, (settings.client_id, settings.client_secret)))
                for realm in (*settings.tenants, *settings.clients)
            },
            token_seconds=settings.token_seconds,
        ),
        interactions=InteractionStore(),
        faults=Switchboard(),
        stats=Stats(clock.now()),
    )
    for fault in settings.faults:
        state.put_in_force(fault)
    if settings.recognise:
        # Imported late: the model has 30 MB and most servers do not need it.
        from ops.sandbox.audio.recognise import Recogniser  # noqa: PLC0415

        state.recogniser = Recogniser()
    app = web.Application()
    app[STATE] = state
    for table in (auth.routes, streams.routes, admin.routes):
        app.add_routes(table)
    rest.add_routes(app)
    return app
