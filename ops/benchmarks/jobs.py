"""`ops/bench jobs`: the fixed cost of a job, its delay on an idle worker, and the start time of a worker."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ops.benchmarks import report
from ops.benchmarks.figures import Row, percentile
from ops.benchmarks.fleet import Installation, installation, speech
from ops.benchmarks.meter import Reading, cores
from ops.benchmarks.native.build import install
from ops.benchmarks.native.server import LoadServer
from ops.benchmarks.subjects.consumer import QUICKSTART, quickstart
from ops.lib.servers import RabbitMqServer

WORKER = "worker"
#: So fast that streaming the audio costs next to nothing; what remains is the fixed cost of a job.
_PACE = 50.0
_AUDIO_SECONDS = 1.0
#: One chunk: the job ends as soon as its first audio has been sent.
_IDLE_AUDIO_SECONDS = 0.25
_PATIENCE = 30.0
_LOOK = 0.005
_COLUMNS = {
    "cold_ms": "CPU ms per job: first",
    "warm_ms": "warm",
    "cold_rate": "jobs/s: first",
    "warm_rate": "warm",
    "idle_p50": "to first audio, idle ms: p50",
    "idle_p99": "p99",
    "idle_max": "max",
    "start": "start to ready s",
    "rss_mb": "MB",
    "failed": "failed",
    "server_cpu": "server's core",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Number of rounds.
        cold: Number of jobs right after the start of a process.
        warm: Number of jobs after those.
        idle: Number of jobs one at a time.
        starts: Number of starts of the subject.
    """

    rounds: int
    cold: int
    warm: int
    idle: int
    starts: int


@dataclass(frozen=True, slots=True)
class Burst:
    """The cost of many jobs that were put at once.

    Attributes:
        ms: Milliseconds of the subject's CPU per job.
        rate: Jobs per second.
        failed: Number of jobs that failed.
        server_cpu: CPU of the load server, as a share of its core.
    """

    ms: float
    rate: float
    failed: int
    server_cpu: float


@click.command()
@click.option("--broker", type=click.Choice(["redis", "rabbitmq", "both"]), default="both", show_default=True)
@click.option("--quick", is_flag=True, help="One short round.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
def jobs(broker: str, quick: bool, file: Path | None) -> None:
    """Measure what a job costs apart from its audio, with the complete worker."""
    plan = Plan(1, 20, 60, 15, 2) if quick else Plan(3, 50, 500, 100, 5)
    brokers = ["redis", "rabbitmq"] if broker == "both" else [broker]
    if "rabbitmq" in brokers and not RabbitMqServer.available()[0]:
        install("rabbitmq-server")
    subjects = [(name, WORKER) for name in brokers]
    if "redis" in brokers:
        subjects.append(("redis", QUICKSTART))
    rows: list[Row] = []
    with report.progress("jobs", plan.rounds * len(subjects)) as begin:
        for number in range(plan.rounds):
            for name, subject in subjects:
                begin(f"{subject} on {name}")
                rows.append(
                    {"broker": name, "subject": subject, "round": number, **measure(name, subject, plan)}
                )
    caption = (
        f"First: {plan.cold} jobs just after a start. {_AUDIO_SECONDS:g} s of audio at pace {_PACE:g}, TLS; "
        "token, claim, interaction, stream, result. The script has no claims and recovers from no failure."
    )
    report.show(report.table("Fixed cost of a job", rows, ["subject", "broker"], _COLUMNS, caption))
    if file:
        report.write_json(file, "jobs", rows, pace=_PACE, audio_seconds=_AUDIO_SECONDS)


def measure(broker: str, subject: str, plan: Plan) -> dict[str, Any]:
    """Measure one subject once, on servers of its own; return a row for the table."""
    started = worker if subject == WORKER else quickstart
    with (
        tempfile.TemporaryDirectory(prefix="corti-bench-") as name,
        LoadServer(core=cores()[0]) as server,
        installation(broker, server.settings, Path(name)) as made,
    ):
        folder = Path(name)
        audio = speech(folder / "audio.wav", _AUDIO_SECONDS)
        short = speech(folder / "short.wav", _IDLE_AUDIO_SECONDS)
        starts = []
        for _ in range(plan.starts - 1):
            with started(made, server) as (_, seconds):
                starts.append(seconds)
        with started(made, server) as (pid, seconds):
            starts.append(seconds)
            cold = burst(made, server, pid, audio, plan.cold)
            warm = burst(made, server, pid, audio, plan.warm)
            waits = idle(made, server, short, plan.idle)
            rss = Reading.of(pid).rss
        return {
            "cold_ms": cold.ms,
            "warm_ms": warm.ms,
            "cold_rate": cold.rate,
            "warm_rate": warm.rate,
            "idle_p50": percentile(waits, 0.5),
            "idle_p99": percentile(waits, 0.99),
            "idle_max": max(waits),
            "start": statistics.median(starts),
            "starts": starts,
            "rss_mb": rss / 1e6,
            "failed": cold.failed + warm.failed,
            "server_cpu": warm.server_cpu,
        }


@contextmanager
def worker(made: Installation, _server: LoadServer) -> Iterator[tuple[int, float]]:
    """Start a worker; yield its process id and the seconds until it was ready."""
    began = time.monotonic()
    process = made.start_worker()
    try:
        # Not by `ready()`, which checks only every 50 ms.
        _until(lambda: process.health_port() is not None, process.tail)
        _until(lambda: process.get("/readyz")[0] == 200, process.tail)  # noqa: PLR2004
        yield process.pid, time.monotonic() - began
    finally:
        # Killed, because the worker has no jobs, and a drain would take a second.
        process.kill()
        process.close()


def burst(made: Installation, server: LoadServer, pid: int, audio: Path, count: int) -> Burst:
    """Put `count` jobs at once, wait for all results, and return what they cost the process `pid`."""
    server_before, before = server.stats()["cpu_seconds"], Reading.of(pid)
    wanted = set(made.put(audio, count, pace=_PACE))
    failed = 0
    for event in made.finals(_PATIENCE):
        wanted.discard(event["subject"])
        failed += event["type"] != "corti.job.completed.v1"
        if not wanted:
            break
    after, server_after = Reading.of(pid), server.stats()["cpu_seconds"]
    seconds = after.at - before.at
    return Burst(
        (after.cpu - before.cpu) / count * 1000,
        count / seconds,
        failed + len(wanted),
        (server_after - server_before) / seconds,
    )


def idle(made: Installation, server: LoadServer, audio: Path, count: int) -> list[float]:
    """Run one job at a time.

    Returns:
        For each job, the milliseconds from before its message was put until the server received its first
        audio. Both times are of the monotonic clock.

    Raises:
        RuntimeError: A job did not complete.
    """
    put_at: dict[str, float] = {}
    for number in range(count):
        # Irregular pauses, so that jobs do not coincide with periodic work of the worker.
        time.sleep(0.02 + 0.0137 * (number % 7))
        at = time.monotonic()
        made.put(audio, 1)
        event = next(made.finals(_PATIENCE), None)
        if event is None or "interaction_id" not in event["data"]:
            raise RuntimeError("a job on an idle worker did not end")
        put_at[event["data"]["interaction_id"]] = at
    arrived = {record["interaction"]: record["first_audio_at"] for record in server.streams()}
    return [(arrived[interaction] - at) * 1000 for interaction, at in put_at.items()]


def _until(condition: Callable[[], bool], tail: Callable[[], str]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not ready within {_PATIENCE:g} s\n{tail()}")
        time.sleep(_LOOK)
