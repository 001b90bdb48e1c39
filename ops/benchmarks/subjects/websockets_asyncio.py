"""`websockets` on asyncio with uvloop: two tasks for each stream, as its documentation shows."""

import asyncio
import json
import ssl
import time
from itertools import count

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from ops.benchmarks.subjects import aio
from ops.benchmarks.subjects.common import CONFIG, Options, Report


def make(options: Options, report: Report) -> aio.Stream:
    """Return the function that runs one stream."""
    context = ssl.create_default_context(cafile=str(options.ca))
    chunks = options.chunks()

    async def send(socket: ClientConnection, number: int) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time() + options.phase(number)
        for turn in count():
            await asyncio.sleep(start + turn * options.chunk - loop.time())
            await socket.send(chunks[turn % len(chunks)])

    async def stream(number: int, url: str) -> None:
        began = time.monotonic()
        try:
            async with connect(url, ssl=context, proxy=None, open_timeout=30) as socket:
                await socket.send(CONFIG)
                if json.loads(await socket.recv())["type"] == "CONFIG_ACCEPTED":
                    report.connected(began)
                    sender = asyncio.create_task(send(socket, number))
                    try:
                        async for message in socket:
                            json.loads(message)
                    finally:
                        sender.cancel()
        except (OSError, WebSocketException):
            pass
        report.failed()

    return stream


if __name__ == "__main__":
    aio.run(make)
