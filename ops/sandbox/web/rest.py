"""The REST API of interactions and facts (PROTOCOL.md 3 and 7)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ops.sandbox.rest import errors
from ops.sandbox.rest.errors import ApiError
from ops.sandbox.rest.facts import list_groups
from ops.sandbox.rest.interactions import Page
from ops.sandbox.web.access import UnauthorizedError, rest_tenant
from ops.sandbox.web.state import STATE, base_url, cut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ops.sandbox.rest.interactions import Interaction
    from ops.sandbox.web.state import State


class _CutError(Exception):
    """A fault requires that the connection is cut instead of a reply."""


def _handler(operation: Callable[[web.Request, str], Awaitable[web.Response]]) -> Any:
    """Add access control, faults, error bodies and counters; the function's name is the operation's."""
    name = operation.__name__

    async def handle(request: web.Request) -> web.Response:
        state = request.app[STATE]
        try:
            tenant = rest_tenant(request)
            if state.faults:
                await _misbehave(state, name, tenant, await _encounter(request, tenant))
            response = await operation(request, tenant)
        except UnauthorizedError as error:
            response = web.Response(status=401, headers=error.headers())
        except ApiError as error:
            response = web.json_response(error.body(), status=error.status, headers=error.headers())
        except _CutError:
            state.stats.rest_request(name, "cut")
            cut(request)
            return web.Response()
        state.stats.rest_request(name, response.status)
        return response

    return handle


async def _encounter(request: web.Request, tenant: str) -> str | None:
    """Return the encounter identifier that a request concerns; faults can be limited to it."""
    try:
        if "id" in request.match_info:
            return _interaction(request, tenant).encounter
        identifier = json.loads(await request.read())["encounter"]["identifier"]
    except (ApiError, ValueError, KeyError, TypeError):
        return None
    return identifier if isinstance(identifier, str) else None


async def _misbehave(state: State, operation: str, tenant: str, encounter: str | None) -> None:
    faults, who = state.faults, (tenant, encounter)
    slow = faults.take_for("slow_api", operation, *who)
    if slow is not None:
        await asyncio.sleep(slow["seconds"])
    if faults.take_for("api_cut", operation, *who):
        raise _CutError
    fault = faults.take_for("api_error", operation, *who)
    if fault is not None:
        detail = "refused by a sandbox fault"
        raise ApiError(fault["status"], "sandbox-fault", detail, retry_after=fault["retry_after"])
    if faults.take_for("quota", operation, *who):
        raise errors.insufficient_balance()
    limit = faults.take_for("rate_limit", operation, *who)
    if limit is not None:
        raise errors.too_many_requests(limit["retry_after"])


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise errors.bad_request(f"the body is not JSON: {error}") from None


def _websocket_url(request: web.Request, interaction: Interaction) -> str:
    root = base_url(request, socket=True)
    return f"{root}/audio-bridge/v2/interactions/{interaction.id}/streams?tenant-name={interaction.tenant}"


def _item(request: web.Request, interaction: Interaction) -> dict[str, Any]:
    return {**interaction.item, "websocketUrl": _websocket_url(request, interaction)}


def _interaction(request: web.Request, tenant: str) -> Interaction:
    return request.app[STATE].interactions.get(tenant, request.match_info["id"])


async def create_interaction(request: web.Request, tenant: str) -> web.Response:
    """Handle POST /v2/interactions/."""
    state = request.app[STATE]
    interaction = state.interactions.create(tenant, await _body(request), state.clock.now())
    state.stats.interactions_created += 1
    who = tenant, interaction.encounter
    lost = state.faults.take("lost_create", *who)
    if lost is not None and lost["how"] == "cut":
        raise _CutError
    if lost is not None:
        raise ApiError(500, "A0010", "the reply to a successful create was lost")
    status = 200 if state.faults.take("create_status_200", *who) else 201
    body = {"interactionId": interaction.id, "websocketUrl": _websocket_url(request, interaction)}
    return web.json_response(body, status=status)


async def list_interactions(request: web.Request, tenant: str) -> web.Response:
    """Handle GET /v2/interactions/."""
    query = {key: request.query.getall(key) for key in request.query}
    page = request.app[STATE].interactions.page(tenant, Page.parse(query))
    return web.json_response({"interactions": [_item(request, one) for one in page]})


async def get_interaction(request: web.Request, tenant: str) -> web.Response:
    """Handle GET /v2/interactions/{id}."""
    return web.json_response(_item(request, _interaction(request, tenant)))


async def update_interaction(request: web.Request, tenant: str) -> web.Response:
    """Handle PATCH /v2/interactions/{id}."""
    state = request.app[STATE]
    identifier, body = request.match_info["id"], await _body(request)
    interaction = state.interactions.update(tenant, identifier, body, state.clock.now())
    return web.json_response(_item(request, interaction))


async def delete_interaction(request: web.Request, tenant: str) -> web.Response:
    """Handle DELETE /v2/interactions/{id}."""
    request.app[STATE].interactions.delete(tenant, request.match_info["id"])
    return web.Response(status=204)


async def list_facts(request: web.Request, tenant: str) -> web.Response:
    """Handle GET /v2/interactions/{id}/facts/."""
    return web.json_response({"facts": _interaction(request, tenant).facts.as_json()})


async def create_facts(request: web.Request, tenant: str) -> web.Response:
    """Handle POST /v2/interactions/{id}/facts/."""
    interaction = _interaction(request, tenant)
    return _reply_and_push(
        interaction, interaction.facts.create(await _body(request), request.app[STATE].clock.now())
    )


async def update_facts(request: web.Request, tenant: str) -> web.Response:
    """Handle PATCH /v2/interactions/{id}/facts/."""
    interaction = _interaction(request, tenant)
    return _reply_and_push(
        interaction, interaction.facts.update(await _body(request), request.app[STATE].clock.now())
    )


async def update_fact(request: web.Request, tenant: str) -> web.Response:
    """Handle PATCH /v2/interactions/{id}/facts/{factId}."""
    interaction = _interaction(request, tenant)
    now = request.app[STATE].clock.now()
    fact = interaction.facts.update_one(request.match_info["fact"], await _body(request), now)
    _reply_and_push(interaction, [fact])
    return web.json_response(fact)


async def list_fact_groups(_request: web.Request, _tenant: str) -> web.Response:
    """Handle GET /v2/factgroups/."""
    return web.json_response({"data": list_groups()})


def _reply_and_push(interaction: Interaction, facts: list[dict[str, Any]]) -> web.Response:
    """Reply with facts and send them on the open sockets of the interaction (PROTOCOL.md 4.5, item 8)."""
    for listener in list(interaction.history.listeners):
        listener(facts)
    return web.json_response({"facts": facts})


def add_routes(app: web.Application) -> None:
    """Register all operations; paths of collections work with and without a trailing slash."""
    item = "/v2/interactions/{id}"
    for method, path, operation in (
        ("POST", "/v2/interactions", create_interaction),
        ("GET", "/v2/interactions", list_interactions),
        ("GET", item + "/facts", list_facts),
        ("POST", item + "/facts", create_facts),
        ("PATCH", item + "/facts", update_facts),
        ("GET", "/v2/factgroups", list_fact_groups),
    ):
        for form in (path, path + "/"):
            app.router.add_route(method, form, _handler(operation))
    app.router.add_get(item, _handler(get_interaction))
    app.router.add_patch(item, _handler(update_interaction))
    app.router.add_delete(item, _handler(delete_interaction))
    app.router.add_patch(item + "/facts/{fact}", _handler(update_fact))
