"""What N concurrent streams cost: one subject, one measurement."""

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
#: A process for each stream takes its time.
_END_SECONDS = 120.0
#: Seconds of audio to spare: the first streams begin before the last job is put, and readings take time.
_SPARE = 10.0
#: Streams that cannot be sent in time are no streams: below this share of its audio a row is not counted.
_DELIVERED = 0.97
_MICRO = 1e6
_BYTES_PER_SECOND = 32_000
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Load:
    """How many streams, and for how many seconds they are measured."""

    streams: int
    seconds: float

    @property
    def audio_seconds(self) -> float:
        """How long each stream must last, so that none ends before the measurement does."""
        return patience(self.streams) + _SETTLE + self.seconds + _SPARE


#: Starts a subject with its streams and gives its process id.
Start = Callable[[LoadServer, Load, Path], AbstractContextManager[int]]


def whole_worker(
    module: str = "worker", beside: Callable[[WorkerProcess], AbstractContextManager[None]] | None = None
) -> Start:
    """The whole worker, on Redis, with default settings.

    Args:
        module: What Python runs.
        beside: Entered while it runs its streams.
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
                # Killed: what a good end costs is the business of `jobs`, and hundreds of drains take time.
                process.kill()
                process.close()

    return start


def alternative(name: str) -> Start:
    """One of the clients in `ops.benchmarks.subjects`."""

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
    """Measure one subject in a folder of its own; where it could not carry the load, the row says so."""
    with tempfile.TemporaryDirectory(prefix="corti-bench-") as folder:
        try:
            row = measure(start, load, Path(folder))
        except TimeoutError as error:
            report.console.print(f"{name}: {error}")
            return {"streams": load.streams, "failed": load.streams}
    if row["delivered"] < _DELIVERED:
        # It could not keep up: what it did send is no measure of what a stream costs.
        row["cpu_us"] = None
    return row


def measure(start: Start, load: Load, folder: Path) -> dict[str, Any]:
    """Measure one subject under one load.

    Returns:
        A row: `cpu_us` per stream and second; `rss` in bytes; lateness in ms; seconds until all streams
        were `up`; streams that failed; the `server_cpu` as a share of its core.

    Raises:
        TimeoutError: The streams did not come up.
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
            # Bytes that arrived, of those that were due.
            "delivered": stats["audio_bytes"] / (load.streams * seconds * _BYTES_PER_SECOND),
            "lateness_p50": lateness["p50"],
            "lateness_p99": lateness["p99"],
            "lateness_max": lateness["max"],
            "up": up,
            "failed": failed + stats["failed"],
            "server_cpu": (stats["cpu_seconds"] - server_before) / seconds,
        }
