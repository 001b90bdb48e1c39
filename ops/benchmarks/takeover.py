"""`ops/bench takeover`: the time from a worker's SIGKILL until another worker streams its jobs."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ops.benchmarks import report
from ops.benchmarks.figures import Row, percentile
from ops.benchmarks.fleet import Installation, installation, speech
from ops.benchmarks.meter import cores
from ops.benchmarks.native.build import install
from ops.benchmarks.native.server import LoadServer
from ops.lib.servers import RabbitMqServer
from ops.lib.worker_process import WorkerProcess

#: Longer than the longest takeover with default settings, so that no job ends by itself.
_AUDIO_SECONDS = 240.0
_PATIENCE = 120.0
_LOOK = 0.25
#: Each kill is at a different moment between two renewals of the lease, which come every third of the lease.
_PHASE = 0.38
_COLUMNS = {
    "p50": "kill to next audio s, p50",
    "most": "max",
    "lost": "not taken over",
    "overlaps": "streams open on both",
    "server_cpu": "server's core",
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of the workers' settings.

    Attributes:
        name: Name in the table.
        settings: Settings by name, in lower case and without prefix; others keep their defaults.
    """

    name: str
    settings: Mapping[str, object]


DEFAULT = Variant("default: lease 30 s, visibility 45 s", {})
SHORT = Variant("lease 9 s, visibility 9 s", {"lease": 9, "visibility_timeout": 9})


@click.command()
@click.option("--broker", type=click.Choice(["redis", "rabbitmq", "both"]), default="both", show_default=True)
@click.option("--quick", is_flag=True, help="One kill, few jobs, and short leases only.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
def takeover(broker: str, quick: bool, file: Path | None) -> None:
    """Measure how long the jobs of a killed worker are interrupted."""
    brokers = ["redis", "rabbitmq"] if broker == "both" else [broker]
    if "rabbitmq" in brokers and not RabbitMqServer.available()[0]:
        install("rabbitmq-server")
    variants = [SHORT] if quick else [DEFAULT, SHORT]
    rounds, count = (1, 5) if quick else (3, 20)
    rows: list[Row] = []
    with report.progress("takeover", rounds * len(variants) * len(brokers)) as begin:
        for number in range(rounds):
            for variant in variants:
                for name in brokers:
                    begin(f"{name}, {variant.name}")
                    phase = _PHASE * (number + 1) % 1
                    found = measure(name, variant, count, phase)
                    rows.append({"broker": name, "settings": variant.name, "round": number, **found})
    caption = f"{count} streaming jobs; one worker is killed, another is idle; {rounds} kills."
    report.show(report.table("Takeover", rows, ["settings", "broker"], _COLUMNS, caption))
    if file:
        report.write_json(file, "takeover", rows, jobs=count)


def measure(broker: str, variant: Variant, count: int, phase: float) -> dict[str, Any]:
    """Kill one worker once, and return a row for the table.

    Args:
        broker: `redis` or `rabbitmq`.
        variant: The workers' settings.
        count: Number of jobs that the worker runs.
        phase: The time of the kill after all streams are open, as a share (0..1) of a third of the lease.
    """
    with (
        tempfile.TemporaryDirectory(prefix="corti-bench-") as name,
        LoadServer(core=cores()[0]) as server,
        installation(broker, server.settings, Path(name)) as made,
    ):
        audio = speech(Path(name) / "audio.wav", _AUDIO_SECONDS)
        with _started(made, variant) as first:
            first.ready()
            made.put(audio, count)
            _wait(lambda: _with_audio(server), count, first)
            with _started(made, variant) as second:
                second.ready()
                time.sleep(phase * float(str(variant.settings.get("lease", 30))) / 3)
                before, killed_at = server.stats()["cpu_seconds"], time.monotonic()
                first.kill()
                try:
                    _wait(lambda: len(_resumed(server, killed_at)), count, second)
                except TimeoutError:
                    report.console.print(f"not all jobs were taken over\n{second.tail()}")
                stats, seconds = server.stats(), time.monotonic() - killed_at
                waits = _resumed(server, killed_at)
                overlaps = _overlaps(server, killed_at)
    return {
        "p50": percentile(waits, 0.5) if waits else None,
        "most": max(waits, default=None),
        "waits": waits,
        "lost": count - len(waits),
        "overlaps": overlaps,
        "server_cpu": (stats["cpu_seconds"] - before) / seconds,
    }


@contextmanager
def _started(made: Installation, variant: Variant) -> Iterator[WorkerProcess]:
    process = made.start_worker(**dict(variant.settings))
    try:
        yield process
    finally:
        # Killed, because a drain would wait for the end of the audio.
        process.kill()
        process.close()


def _with_audio(server: LoadServer) -> int:
    return sum(record["audio_bytes"] > 0 and not record["closed_at"] for record in server.streams())


def _resumed(server: LoadServer, killed_at: float) -> list[float]:
    """Return the seconds from the kill to the next audio of each interaction that had audio before."""
    before = {one["interaction"] for one in server.streams() if 0 < one["first_audio_at"] < killed_at}
    first: dict[str, float] = {}
    for record in server.streams():
        at = record["first_audio_at"]
        if record["interaction"] in before and at > killed_at:
            first[record["interaction"]] = min(at, first.get(record["interaction"], at))
    return [at - killed_at for at in first.values()]


def _overlaps(server: LoadServer, killed_at: float) -> int:
    """Return the number of streams that opened while an earlier stream of their interaction was open."""
    closed: dict[str, float] = {}
    found = 0
    for record in server.streams():
        name = record["interaction"]
        if name in closed and record["upgraded_at"] > killed_at:
            found += not 0 < closed[name] <= record["upgraded_at"]
        closed[name] = record["closed_at"]
    return found


def _wait(reached: Callable[[], int], count: int, worker: WorkerProcess) -> None:
    deadline = time.monotonic() + _PATIENCE
    while reached() < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_PATIENCE:g} s\n{worker.tail()}")
        time.sleep(_LOOK)
