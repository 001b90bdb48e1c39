"""The upgrade of ``/streams`` sockets: access, faults, statistics (PROTOCOL.md 4.1)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from ops.sandbox.audio.decoder import PcmDecoder
from ops.sandbox.audio.detect import DetectingDecoder
from ops.sandbox.audio.format import PcmFormat
from ops.sandbox.rest.errors import ApiError
from ops.sandbox.stats import StreamRecord
from ops.sandbox.stream.alignment import Tracker
from ops.sandbox.stream.hearing import Hearing
from ops.sandbox.stream.lines import PlaceholderLines, ScriptLines
from ops.sandbox.stream.misbehaviour import Misbehaviour
from ops.sandbox.stream.policy import StreamPolicy
from ops.sandbox.stream.protocol import StreamProtocol
from ops.sandbox.web.access import UnauthorizedError, socket_tenant
from ops.sandbox.web.socket import StreamSocket
from ops.sandbox.web.state import STATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.sandbox.audio.decoder import Decoder
    from ops.sandbox.rest.interactions import Interaction
    from ops.sandbox.stream.configuration import Configuration
    from ops.sandbox.stream.lines import LineSource
    from ops.sandbox.web.state import State

_LONG_SILENCE_SECONDS = 10.0
# Far above the limit of 64,000 bytes for a chunk, so that `StreamProtocol` can report oversized chunks.
_MAX_FRAME = 16 * 1024 * 1024

routes = web.RouteTableDef()


@routes.get("/audio-bridge/v2/interactions/{id}/streams")
async def stream(request: web.Request) -> web.StreamResponse:
    """Upgrade the request and serve the stream, or refuse it before the upgrade."""
    state = request.app[STATE]
    try:
        tenant = socket_tenant(request)
        interaction = state.interactions.get(tenant, request.match_info["id"])
        refused = state.faults.take("upgrade_refused", tenant, interaction.encounter)
        if refused is not None:
            raise ApiError(  # noqa: TRY301 -- refused like the other cases
                refused["status"], "sandbox-fault", "refused by a fault", retry_after=refused["retry_after"]
            )
    except UnauthorizedError as error:
        state.stats.sockets_refused["401"] += 1
        return web.Response(status=401, headers=error.headers())
    except ApiError as error:
        state.stats.sockets_refused[str(error.status)] += 1
        return web.json_response(error.body(), status=error.status, headers=error.headers())
    # Some clients offer permessage-deflate; a server may ignore it (PROTOCOL.md 4.1). StreamSocket answers
    # pings, not aiohttp, because the fault go_silent must stop pongs, too.
    websocket = web.WebSocketResponse(compress=False, autoping=False, max_msg_size=_MAX_FRAME, timeout=2.0)
    if not websocket.can_prepare(request):
        return web.Response(status=426, headers={"Upgrade": "websocket"})
    await websocket.prepare(request)
    await _serve(state, request, websocket, interaction)
    return websocket


async def _serve(
    state: State, request: web.Request, websocket: web.WebSocketResponse, interaction: Interaction
) -> None:
    now = state.clock.now()
    interaction.history.sockets += 1
    record = StreamRecord(
        interaction_id=interaction.id,
        encounter_identifier=interaction.encounter,
        tenant=interaction.tenant,
        stream_number=interaction.history.sockets,
        secure=request.scheme == "https",
        opened_at=state.stats.since_start(now),
    )
    misbehaviour = Misbehaviour(state.faults, record)
    socket = StreamSocket(
        websocket=websocket,
        transport=request.transport,
        clock=state.clock,
        stats=state.stats,
        record=record,
        misbehaviour=misbehaviour,
    )
    settings = state.settings
    socket.protocol = StreamProtocol(
        interaction=interaction,
        record=record,
        misbehaviour=misbehaviour,
        policy=StreamPolicy(
            config_deadline=settings.config_deadline,
            latency=settings.latency,
            time_scale=settings.time_scale,
            facts_every=settings.facts_every,
        ),
        make_hearing=partial(make_hearing, state, interaction, record, socket.wake),
        now=now,
    )
    interaction.history.listeners.append(socket.push_facts)
    state.stats.opened(record)
    try:
        await socket.run()
    finally:
        interaction.history.listeners.remove(socket.push_facts)


def make_hearing(
    state: State,
    interaction: Interaction,
    record: StreamRecord,
    wake: Callable[[], None],
    configuration: Configuration,
) -> Hearing:
    """Make the decoder and the source of transcript lines for an accepted configuration."""
    loop = asyncio.get_running_loop()
    notify = partial(_from_thread, loop, wake)
    form = configuration.audio_format
    decoder: Decoder
    if isinstance(form, PcmFormat):
        decoder = PcmDecoder(form)
    else:
        separate = configuration.multichannel
        decoder = DetectingDecoder(allowed=form.containers, separate=separate, notify=notify)
    history, script = interaction.history, state.settings.script
    source: LineSource
    if script is not None:
        first = record.stream_number == 1
        tracker = Tracker(history.fingerprint, first=first, heard_seconds=history.heard_seconds)
        source = ScriptLines(script, tracker, configuration)
    elif state.recogniser is not None:
        source = state.recogniser.lines(configuration, notify)
    else:
        source = PlaceholderLines(configuration)
    long_silence = _LONG_SILENCE_SECONDS * state.settings.time_scale
    return Hearing(decoder=decoder, source=source, configuration=configuration, long_silence=long_silence)


def _from_thread(loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(wake)
    except RuntimeError:
        # The loop is closed: the server stops, and the result is no longer needed.
        return
