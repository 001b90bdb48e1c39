"""`picows` on asyncio with uvloop. Each stream has callbacks and a timer, and no task that sends or reads."""

import asyncio
import json
import ssl
import time

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from ops.benchmarks.subjects import aio
from ops.benchmarks.subjects.common import CONFIG, Options, Report


class _Listener(WSListener):
    def __init__(
        self, options: Options, report: Report, chunks: list[bytes], number: int, began: float
    ) -> None:
        super().__init__()
        self._options, self._report, self._chunks, self._number = options, report, chunks, number
        self._began = began
        self._loop = asyncio.get_running_loop()
        self._start, self._turn = 0.0, 0
        self._timer: asyncio.TimerHandle | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.send(WSMsgType.TEXT, CONFIG.encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            message = json.loads(frame.get_payload_as_bytes())
            if message["type"] == "CONFIG_ACCEPTED":
                self._report.connected(self._began)
                self._start = self._loop.time() + self._options.phase(self._number)
                self._timer = self._loop.call_at(self._start, self._send)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        del transport
        if self._timer:
            self._timer.cancel()

    def _send(self) -> None:
        self._transport.send(WSMsgType.BINARY, self._chunks[self._turn % len(self._chunks)])
        self._turn += 1
        self._timer = self._loop.call_at(self._start + self._turn * self._options.chunk, self._send)


def make(options: Options, report: Report) -> aio.Stream:
    """Return the function that runs one stream."""
    context = ssl.create_default_context(cafile=str(options.ca))
    chunks = options.chunks()

    async def stream(number: int, url: str) -> None:
        # Not in the listener, which is created after TCP and TLS: the time to connect includes both.
        began = time.monotonic()
        try:
            transport, _ = await ws_connect(
                lambda: _Listener(options, report, chunks, number, began),
                url,
                ssl_context=context,
                websocket_handshake_timeout=30,
            )
            await transport.wait_disconnected()
        except (OSError, WSError):
            pass
        report.failed()

    return stream


if __name__ == "__main__":
    aio.run(make)
