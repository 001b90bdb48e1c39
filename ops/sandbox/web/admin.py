"""Control API for tests: statistics and faults, under ``/_sandbox``. No access control: it is local."""

from __future__ import annotations

import json

from aiohttp import web

from ops.sandbox.faults import parse_faults
from ops.sandbox.web.state import STATE

routes = web.RouteTableDef()


@routes.get("/_sandbox/stats")
async def stats(request: web.Request) -> web.Response:
    """Return the counters, and without ``summary=1`` also the record of each stream."""
    summary = request.query.get("summary") == "1"
    return web.json_response(request.app[STATE].stats.as_json(summary=summary))


@routes.post("/_sandbox/reset")
async def reset(request: web.Request) -> web.Response:
    """Set the counters to zero."""
    request.app[STATE].stats.reset()
    return web.Response(status=204)


@routes.get("/_sandbox/faults")
async def list_faults(request: web.Request) -> web.Response:
    """Return the faults, used-up ones included, with the count ``used``."""
    return web.json_response({"faults": request.app[STATE].faults.as_json()})


@routes.post("/_sandbox/faults")
async def add_fault(request: web.Request) -> web.Response:
    """Activate one more fault, or several; reply 400 and change nothing if one is invalid."""
    return await _switch_on(request, replacing=False)


@routes.put("/_sandbox/faults")
async def replace_faults(request: web.Request) -> web.Response:
    """Replace all faults by those of the body; reply 400 and change nothing if one is invalid."""
    return await _switch_on(request, replacing=True)


@routes.delete("/_sandbox/faults")
async def clear_faults(request: web.Request) -> web.Response:
    """Remove all faults, or those with the ``name`` in the query."""
    request.app[STATE].faults.clear(request.query.get("name"))
    return web.Response(status=204)


async def _switch_on(request: web.Request, *, replacing: bool) -> web.Response:
    state = request.app[STATE]
    try:
        faults = parse_faults(json.loads(await request.read()))
    except ValueError as error:
        return web.json_response({"detail": str(error)}, status=400)
    if replacing:
        state.faults.clear()
    for fault in faults:
        state.put_in_force(fault)
    return web.json_response({"faults": state.faults.as_json()})
