"""A TCP relay in front of a broker, which can delay what clients send."""

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_PIECE = 1 << 16


class Relay:
    """Listens on 127.0.0.1 and forwards connections to another port of 127.0.0.1; a context manager.

    Args:
        port: The port to forward to.

    Attributes:
        delay: Seconds by which bytes from clients are delayed, and so each round trip.
        port: The port that the relay listens on.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.port = 0
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # asyncio serves each connection in a task
        self._open.add(task)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to)
            try:
                both = {
                    asyncio.create_task(self._pump(reader, there_writer, slow=True)),
                    asyncio.create_task(self._pump(there_reader, writer, slow=False)),
                }
                try:
                    # When one side closes its connection, the other is closed too.
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for one in both:
                        one.cancel()
                    await asyncio.gather(*both, return_exceptions=True)
            finally:
                there_writer.close()
        except (OSError, asyncio.CancelledError):
            pass  # the broker cannot be reached: the client sees its connection closed
        finally:
            writer.close()
            self._open.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        """Forward bytes in order; if `slow`, each piece `delay` seconds after its arrival."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def take() -> None:
            data = b"?"
            while data:
                data = b""
                with suppress(OSError):
                    data = await reader.read(_PIECE)
                await pieces.put((self._loop.time() + (self.delay if slow else 0.0), data))

        taking = asyncio.create_task(take())
        try:
            while True:
                due, data = await pieces.get()
                if not data:
                    return
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
