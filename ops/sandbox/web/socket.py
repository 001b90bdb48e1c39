"""The I/O of one ``StreamProtocol``: reads and writes frames, resets TCP, stops reading and writing."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType

from ops.sandbox.stream.messages import Abort, Close, FallSilent, Send, SendRaw

if TYPE_CHECKING:
    from aiohttp import WSMessage, web

    from ops.sandbox.clock import Clock
    from ops.sandbox.stats import Stats, StreamRecord
    from ops.sandbox.stream.messages import Reply
    from ops.sandbox.stream.misbehaviour import Misbehaviour
    from ops.sandbox.stream.protocol import StreamProtocol

_ABNORMAL = 1006
#: States in struct tcp_info after the peer has closed: CLOSE, CLOSE_WAIT, LAST_ACK (Linux).
_PEER_GONE = (7, 8, 9)
_PEER_POLL_SECONDS = 0.2
_CLOSE_SECONDS = 5.0


class StreamSocket:
    """One socket: one task reads, one writes, a timer calls ``tick``. Not thread-safe."""

    protocol: StreamProtocol

    def __init__(
        self,
        *,
        websocket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        clock: Clock,
        stats: Stats,
        record: StreamRecord,
        misbehaviour: Misbehaviour,
    ) -> None:
        self._websocket = websocket
        self._transport = transport
        self._clock = clock
        self._stats = stats
        self._record = record
        self._misbehaviour = misbehaviour
        self._replies: asyncio.Queue[Reply] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._close_code: int | None = None
        self._closing = False
        self._silent = asyncio.Event()

    async def run(self) -> None:
        """Serve the socket until it is closed."""
        reader = self._reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            self.wake()
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            if self._closing:
                # The reader ends as soon as closing begins; the writer does the closing handshake.
                await asyncio.wait((writer,), timeout=_CLOSE_SECONDS)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in (reader, writer):
                task.cancel()
            results = await asyncio.gather(reader, writer, return_exceptions=True)
            self.protocol.connection_lost()
            self._stats.closed(
                self._record, self._close_code or self._websocket.close_code, self._clock.now()
            )
        for error in results:
            # A connection that breaks during a write has ended normally.
            if isinstance(error, Exception) and not isinstance(error, (ConnectionError, RuntimeError)):
                raise error

    def wake(self) -> None:
        """Call ``tick``: a deadline has passed, or a decoder or recogniser thread has a result."""
        now = self._clock.now()
        self._do(self.protocol.tick(now), now)

    def push_facts(self, facts: list[dict[str, Any]]) -> None:
        """Send facts that a REST request created or changed."""
        now = self._clock.now()
        self._do(self.protocol.push_facts(facts, now), now)

    async def _read(self) -> None:
        while not self._silent.is_set():
            slow = self._misbehaviour.has("slow_reader")
            if slow is not None:
                await asyncio.sleep(slow["seconds"])
            message = await self._websocket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                if message.type is WSMsgType.CLOSE and self._close_code is None:
                    self._close_code = message.data
                return
            if not self._silent.is_set():
                await self._received(message)
        await self._stay_silent()

    async def _received(self, message: WSMessage) -> None:
        now = self._clock.now()
        if message.type is WSMsgType.PING:
            await self._websocket.pong(message.data)
        elif message.type is WSMsgType.BINARY:
            self._record.received(message.data, self._stats.since_start(now))
            self._do(self.protocol.received_audio(message.data, now), now)
        elif message.type is WSMsgType.TEXT:
            self._do(self.protocol.received_text(message.data, now), now)

    def _do(self, replies: list[Reply], now: float) -> None:
        for reply in replies:
            self._replies.put_nowait(reply)
            if isinstance(reply, FallSilent):
                # Set here, before the writer handles the reply: data already in the buffers must not be read.
                self._silent.set()
        self._note(self._stats.since_start(now))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.protocol.deadline
        if deadline is not None:
            delay = max(0.0, deadline - now)
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)

    def _note(self, at: float) -> None:
        record = self._record
        if record.configured_at is None and record.configuration is not None:
            record.configured_at = at
        if record.end_received_at is None and self.protocol.end_received:
            record.end_received_at = at
        record.heard(self.protocol.heard_seconds, at)

    async def _write(self) -> None:
        while True:
            reply = await self._replies.get()
            if isinstance(reply, Send):
                await self._websocket.send_str(json.dumps(reply.message, ensure_ascii=False))
                if reply.message["type"] == "ENDED":
                    self._record.ended = True
                    self._record.ended_at = self._stats.since_start(self._clock.now())
            elif isinstance(reply, SendRaw):
                if isinstance(reply.payload, bytes):
                    await self._websocket.send_bytes(reply.payload)
                else:
                    await self._websocket.send_str(reply.payload)
            elif isinstance(reply, Close):
                self._close_code, self._closing = reply.code, True
                # While a task waits in `receive`, aiohttp closes the connection without waiting for the
                # peer's close frame. A peer that is sending gets a reset before it reads our close frame.
                self._reader.cancel()
                await asyncio.wait((self._reader,))
                await self._websocket.close(code=reply.code, message=reply.reason.encode())
                return
            elif isinstance(reply, Abort):
                self._reset()
                return
            elif isinstance(reply, FallSilent):
                await self._stay_silent()
                return

    def _reset(self) -> None:
        self._close_code = _ABNORMAL
        if self._transport is not None:
            connection = self._transport.get_extra_info("socket")
            # SO_LINGER with 0 s sends RST instead of FIN: the peer sees a broken connection.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    async def _stay_silent(self) -> None:
        """Neither read nor write until the peer has closed the connection."""
        self._close_code = _ABNORMAL
        if self._transport is None:
            return
        self._transport.pause_reading()
        connection = self._transport.get_extra_info("socket")
        # While reading is paused, asyncio does not see a close by the peer; so poll the TCP state.
        while connection.fileno() >= 0:
            if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _PEER_GONE:
                break
            await asyncio.sleep(_PEER_POLL_SECONDS)
        self._transport.abort()
