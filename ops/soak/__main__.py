"""`ops/test soak`: constant load, a random fault every ten seconds, and the books balanced at the end."""

import random
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import uuid4

import click
from rich.console import Console
from rich.progress import Progress

from ops.lib import queues
from ops.lib.servers import RabbitMqServer, RedisServer
from ops.lib.worker_process import sandbox_settings
from ops.sandbox import launch
from ops.soak.books import Books
from ops.soak.faults import EVERY, World
from ops.soak.fleet import Fleet
from tests.system.audio import clip

_WORKERS = 3
_SETTLE = 120.0


@click.command()
@click.option("--broker", type=click.Choice(["redis", "rabbitmq"]), default="rabbitmq", show_default=True)
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--every", default=10.0, show_default=True, help="Seconds between faults.")
@click.option("--rate", default=1.0, show_default=True, help="Jobs a second.")
@click.option("--seed", default=None, type=int, help="Repeat a run's faults.")
def main(broker: str, minutes: float, every: float, rate: float, seed: int | None) -> None:
    """Run the soak; exits with 1 if a job was lost or has two different results."""
    chance = random.Random(seed if seed is not None else time.time_ns() % 10_000)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corti-soak-")))
        clip(folder / "clip.wav", 8.0, seed=1)
        redis = stack.enter_context(RedisServer(appendonly=broker == "redis"))
        rabbitmq = stack.enter_context(RabbitMqServer()) if broker == "rabbitmq" else None
        sandbox = stack.enter_context(launch.start())
        url = rabbitmq.url if rabbitmq else redis.url
        settings = {
            **sandbox_settings(sandbox.info),
            "CORTI_WORKER_BROKER_URL": url,
            "CORTI_WORKER_REDIS_URL": redis.url,
            "CORTI_WORKER_AUDIO_ROOT": str(folder.resolve()),
            "CORTI_WORKER_LEASE": "10",
            "CORTI_WORKER_VISIBILITY_TIMEOUT": "15",
            "CORTI_WORKER_GRACE": "5",
            "CORTI_WORKER_RETRY_CAP": "5",
            "CORTI_WORKER_ATTEMPTS": "20",
        }
        fleet = Fleet(_WORKERS, settings, folder)
        stack.callback(fleet.close)
        world = World(fleet, sandbox, redis, rabbitmq, chance)
        books = Books()
        stop = threading.Event()
        ehr = threading.Thread(target=_ehr, args=(url, books, folder / "clip.wav", rate, stop))
        ehr.start()
        try:
            with Progress(console=console) as progress:
                bar = progress.add_task(f"soaking on {broker}", total=minutes * 60)
                _break_things(
                    world, minutes * 60, every, lambda done: progress.update(bar, completed=done), console
                )
            deadline = time.monotonic() + _SETTLE
            stop.sending = False  # type: ignore[attr-defined]
            while books.missing and time.monotonic() < deadline:
                time.sleep(0.5)
        finally:
            stop.set()
            ehr.join()
        _report(books, sandbox)
    sys.exit(1 if books.missing or books.duplicates else 0)


def _break_things(world: World, seconds: float, every: float, show: object, console: Console) -> None:
    began = time.monotonic()
    while (gone := time.monotonic() - began) < seconds:
        show(gone)  # type: ignore[operator]
        fault = world.chance.choice(EVERY)
        console.print(f"{gone:5.0f} s  {fault.__name__.replace('_', ' ')}")
        fault(world)
        for tail in world.fleet.died():
            console.print(f"a worker ended by itself:\n{tail}")
            world.fleet.replace(kill=True)
        time.sleep(max(0.0, every - (time.monotonic() - began - gone)))
    world.sandbox.clear_faults()


def _ehr(url: str, books: Books, path: Path, rate: float, stop: threading.Event) -> None:
    """Put jobs on the queue and read results, as an EHR that outlives broker restarts does."""
    next_job = time.monotonic()
    while not stop.is_set():
        with suppress(Exception), queues.connect(url) as box:
            while not stop.is_set():
                if getattr(stop, "sending", True) and time.monotonic() >= next_job:
                    job_id = f"soak-{uuid4()}"
                    job = {
                        "job_id": job_id,
                        "audio": {"uri": path.as_uri()},
                        "transcription": {"language": "en"},
                        "pace": 2,
                    }
                    _put(url, box, job)
                    books.sent.add(job_id)
                    next_job += 1 / rate
                body = box.take(queues.RESULTS, 0.1)
                if body:
                    books.enter(body)
        time.sleep(0.5)


def _put(url: str, box: queues.Queues, job: dict[str, object]) -> None:
    """Insist: a put that fails half-way may have arrived, and is sent again all the same."""
    (body,) = queues.encode([job])
    while True:
        try:
            box.put(body)
            return
        except Exception:  # noqa: BLE001  # whatever the broker's client raises while the broker is away
            time.sleep(0.5)
            with suppress(Exception):
                box = queues.connect(url)


def _report(books: Books, sandbox: launch.Sandbox) -> None:
    stats = sandbox.stats(summary=True)
    click.echo(f"sent        {len(books.sent)}")
    for outcome, count in sorted(books.outcomes.items()):
        click.echo(f"{outcome:<12}{count}")
    click.echo(f"lost        {len(books.missing)}")
    click.echo(f"duplicates  {books.duplicates}  (two different results of one job)")
    click.echo(f"repeats     {books.repeats}  (the same event again, around a crash; same id)")
    click.echo(
        f"streams     {stats['sockets_opened']}, at the same time on one interaction: {stats['overlaps']}"
    )
    click.echo(f"tokens      {stats['tokens_issued']}")


if __name__ == "__main__":
    main()
