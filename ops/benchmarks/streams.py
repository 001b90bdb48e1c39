"""Measures what concurrent streams cost: one subject, one number of streams."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ops.benchmarks import report, subjects
from ops.benchmarks.figures import Row
from ops.benchmarks.fleet import installation, patience, speech
from ops.benchmarks.meter import Reading, cores
from ops.benchmarks.native.server import LoadServer
from ops.lib import children
from ops.lib.worker_process import WorkerProcess

#: Seconds between the last stream's start and the measurement.
_SETTLE = 3.0
#: Time for a subject to end; one with a process for each stream needs it.
_END_SECONDS = 120.0
#: Seconds of additional audio: the first streams begin before the last job is put, and readings take time.
_SPARE = 10.0
#: A subject that sends less than this share of its audio in time is overloaded; its CPU figure is dropped.
_DELIVERED = 0.97
_MICRO = 1e6
_BYTES_PER_SECOND = 32_000
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Load:
    """What is measured.

    Attributes:
        streams: Number of streams.
        seconds: Length of the measurement.
    """

    streams: int
    seconds: float

    @property
    def audio_seconds(self) -> float:
        """The seconds that each stream must last, so that none ends before the measurement."""
        return patience(self.streams) + _SETTLE + self.seconds + _SPARE


#: Starts a subject with its streams, yields its process id, and ends it afterwards.
Start = Callable[[LoadServer, Load, Path], AbstractContextManager[int]]


def whole_worker(
    module: str = "worker", beside: Callable[[WorkerProcess], AbstractContextManager[None]] | None = None
) -> Start:
    """Return a function that starts the complete worker, on Redis, with default settings.

    Args:
        module: The Python module to run.
        beside: A context manager to enter while the worker streams, for instance one that scrapes it.
    """

    @contextmanager
    def start(server: LoadServer, load: Load, folder: Path) -> Iterator[int]:
        audio = speech(folder / "audio.wav", load.audio_seconds)
        with installation("redis", server.settings, folder) as made:
            process = made.start_worker(module, slots=load.streams + 1000)
            try:
                process.ready()
                made.put(audio, load.streams)
                with beside(process) if beside else nullcontext():
                    yield process.pid
            finally:
                # Killed, because a drain of hundreds of streams takes long; `jobs` measures the end of jobs.
                process.kill()
                process.close()

    return start


def alternative(name: str) -> Start:
    """Return a function that starts the client of this name in `ops.benchmarks.subjects`."""

    @contextmanager
    def start(server: LoadServer, load: Load, folder: Path) -> Iterator[int]:
        wanted = subjects.Load(
            server.stream_url, server.ca_file, load.streams, load.audio_seconds, max(1.0, load.streams / 200)
        )
        with (folder / f"{name}.log").open("wb") as log:
            process = children.start(
                subjects.SUBJECTS[name].command(wanted), stdout=log, stderr=log, cwd=_REPOSITORY
            )
            psutil.Process(process.pid).cpu_affinity([cores()[1]])
            try:
                yield process.pid
            finally:
                children.end(process, _END_SECONDS)

    return start


def measured(name: str, start: Start, load: Load) -> Row:
    """Measure one subject in a new directory. If it is overloaded, the row has failures or no `cpu_us`."""
    with tempfile.TemporaryDirectory(prefix="corti-bench-") as folder:
        try:
            row = measure(start, load, Path(folder))
        except TimeoutError as error:
            report.console.print(f"{name}: {error}")
            return {"streams": load.streams, "failed": load.streams}
    if row["delivered"] < _DELIVERED:
        # The subject is overloaded, so its CPU is not what this many streams cost.
        row["cpu_us"] = None
    return row


def measure(start: Start, load: Load, folder: Path) -> dict[str, Any]:
    """Measure one subject under one load.

    Returns:
        A row: `cpu_us` per stream and second; `rss` in bytes; number of `threads`; share of due audio that
        was `delivered`; lateness in ms; seconds until all streams were `up`; number of `failed` streams;
        `server_cpu` as a share of a core.

    Raises:
        TimeoutError: Not all streams could be opened in time.
    """
    with LoadServer(core=cores()[0]) as server, start(server, load, folder) as pid:
        began = time.monotonic()
        server.wait_open(load.streams, patience(load.streams))
        up = time.monotonic() - began
        failed = server.stats()["failed"]
        time.sleep(_SETTLE)
        server.reset()
        before, server_before = Reading.of(pid), server.stats()["cpu_seconds"]
        time.sleep(load.seconds)
        after, stats = Reading.of(pid), server.stats()
        seconds = after.at - before.at
        lateness = stats["lateness"]
        return {
            "streams": load.streams,
            "cpu_us": (after.cpu - before.cpu) / seconds / load.streams * _MICRO,
            "rss": after.rss,
            "threads": after.threads,
            # The share of due bytes that have arrived.
            "delivered": stats["audio_bytes"] / (load.streams * seconds * _BYTES_PER_SECOND),
            "lateness_p50": lateness["p50"],
            "lateness_p99": lateness["p99"],
            "lateness_max": lateness["max"],
            "up": up,
            "failed": failed + stats["failed"],
            "server_cpu": (stats["cpu_seconds"] - server_before) / seconds,
        }
