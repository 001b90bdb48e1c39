"""Runs the subjects on asyncio: with uvloop, a task for each stream, until SIGTERM or the end of the load."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import uvloop

from ops.benchmarks.subjects.common import Options, Report, stream_urls

Stream = Callable[[int, str], Awaitable[None]]
"""Opens stream number n at a URL, returns when the stream is lost, and reports both."""


def run(make: Callable[[Options, Report], Stream]) -> None:
    """Run a subject; `make` returns the function that runs one stream."""
    options = Options.read()
    report = Report(options.streams)
    urls = stream_urls(options)
    uvloop.run(_run(options, report, make(options, report), urls))


async def _run(options: Options, report: Report, stream: Stream, urls: list[str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    async def one(number: int) -> None:
        await asyncio.sleep(options.opens_after(number))
        await stream(number, urls[number])

    tasks = [asyncio.create_task(one(number)) for number in range(options.streams)]
    report.on_ready = lambda: loop.call_later(options.seconds, stop.set)
    await stop.wait()
    report.finish()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
