"""`ops/test soak`: constant load, a fault every ten seconds, and a check that every job has one result."""

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from ops.lib import ending
from ops.lib.servers import RabbitMqServer, RedisServer
from ops.lib.worker_process import sandbox_settings
from ops.sandbox import launch
from ops.soak.books import Books
from ops.soak.double_faults import EVERY
from ops.soak.ehr import Ehr
from ops.soak.faults import Fault, World
from ops.soak.fleet import Fleet
from ops.soak.relay import Relay
from tests.system.audio import clip

_WORKERS = 3
_SETTLE = 120.0
_EXIT_UNBALANCED = 1
_NAMES = sorted(fault.__name__ for fault in EVERY)


@click.command()
@click.option("--broker", type=click.Choice(["redis", "rabbitmq"]), default="rabbitmq", show_default=True)
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--every", default=10.0, show_default=True, help="Seconds between faults.")
@click.option("--rate", default=1.0, show_default=True, help="Jobs per second.")
@click.option("--seed", default=None, type=int, help="Seed of an earlier run, to repeat its faults.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(_NAMES),
    metavar="FAULT",
    help="Cause only this fault; repeatable.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory in which to keep the workers' logs.",
)
def main(
    broker: str,
    minutes: float,
    every: float,
    rate: float,
    seed: int | None,
    only: tuple[str, ...],
    keep: Path | None,
) -> None:
    """Run the soak test. The exit code is 1 if a job was lost or has two different results.

    It is also 1 if an invalid message has no dead letter or several, if the queue of dead letters contains
    other messages, or if /livez of a healthy worker failed.
    """
    seed = seed if seed is not None else time.time_ns() % 10_000
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"soaking on {broker} for {minutes:g} minutes; --seed {seed} repeats these faults")
    faults = [fault for fault in EVERY if not only or fault.__name__ in only]
    books = Books()
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corti-soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        world = _world(stack, broker, folder, books, rate, random.Random(seed))
        world.ehr.start()
        with Progress(console=console) as progress:
            bar = progress.add_task(f"soaking on {broker}", total=minutes * 60)
            for gone in _play(world, books, _deck(faults, world.chance), minutes * 60, every, console.print):
                progress.update(bar, completed=gone)
        world.ehr.stop_sending()
        deadline = time.monotonic() + _SETTLE
        while not books.settled and time.monotonic() < deadline:
            time.sleep(0.5)
        _report(books, world)
    sys.exit(0 if books.balanced else _EXIT_UNBALANCED)


def _world(
    stack: ExitStack, broker: str, folder: Path, books: Books, rate: float, chance: random.Random
) -> World:
    audio = folder / "clip.wav"
    clip(audio, 8.0, seed=1)
    # With an append-only file, as ops/docs/operate.md demands. The fault `empty_redis` deletes its data.
    redis = stack.enter_context(RedisServer(appendonly=True))
    rabbitmq = stack.enter_context(RabbitMqServer()) if broker == "rabbitmq" else None
    sandbox = stack.enter_context(launch.start())
    port = rabbitmq.ports.amqp if rabbitmq else redis.port
    url = rabbitmq.url if rabbitmq else redis.url
    relay = stack.enter_context(Relay(port))
    # Only workers connect through the relay.
    by_relay = url.replace(f":{port}/", f":{relay.port}/")
    settings = {
        **sandbox_settings(sandbox.info),
        "CORTI_WORKER_BROKER_URL": by_relay,
        "CORTI_WORKER_REDIS_URL": redis.url if rabbitmq else by_relay,
        "CORTI_WORKER_AUDIO_ROOT": str(folder.resolve()),
        "CORTI_WORKER_LEASE": "10",
        "CORTI_WORKER_VISIBILITY_TIMEOUT": "15",
        "CORTI_WORKER_GRACE": "12",
        "CORTI_WORKER_RETRY_CAP": "5",
        "CORTI_WORKER_ATTEMPTS": "20",
    }
    fleet = Fleet(_WORKERS, settings, folder, books.alarm)
    stack.callback(fleet.close)
    ehr = Ehr(url, books, audio, rate)
    stack.callback(ehr.close)
    return World(fleet, sandbox, redis, rabbitmq, relay, ehr, chance)


def _deck(faults: list[Fault], chance: random.Random) -> Iterator[Fault]:
    """Yield every fault once in random order, then again in another order, without end."""
    while True:
        yield from chance.sample(faults, len(faults))


def _play(
    world: World,
    books: Books,
    deck: Iterator[Fault],
    seconds: float,
    every: float,
    say: Callable[[str], None],
) -> Iterator[float]:
    """Cause one fault after another; yield the elapsed seconds before each."""
    began = time.monotonic()
    while (gone := time.monotonic() - began) < seconds:
        yield gone
        fault = next(deck)
        alarms = len(books.false_alarms)
        fault(world)
        took = time.monotonic() - began - gone
        name = fault.__name__.replace("_", " ")
        say(f"{gone:5.0f} s  {name}  ({took:.1f} s; {len(books.missing)} jobs open)")
        time.sleep(max(0.0, every - took))
        for text, count in Counter(books.false_alarms[alarms:]).items():
            say(f"[red]false alarm[/red], {count} times: {text}")
        for words in world.fleet.mend():
            books.ended.append(words)
            say(f"[red]a worker ended by itself[/red]: {words}")
    world.sandbox.clear_faults()


def _report(books: Books, world: World) -> None:
    stats = world.sandbox.stats(summary=True)
    click.echo(f"sent              {len(books.sent)}")
    for outcome, count in sorted(books.outcomes.items()):
        click.echo(f"{outcome:<18}{count}")
    click.echo(f"lost              {len(books.missing)}")
    for job_id in sorted(books.missing):
        click.echo(f"  {job_id}")
    click.echo(f"twice             {books.twice}  (two different results of one job)")
    click.echo(f"repeats           {books.repeats}  (the same event again, around a crash; same id)")
    click.echo(f"invalid messages  {len(books.refused)}, confirmed: {sum(books.refused.values())}")
    click.echo(f"  lost            {len(books.letters_missing)}  (no dead letter)")
    click.echo(f"  twice           {books.letters_twice}  (several dead letters of one message or job)")
    click.echo(f"raw dead letters  {len(books.raw)}  (messages on corti.dead that are not dead letters)")
    click.echo(f"false /livez      {len(books.false_alarms)}  (failed although the process was healthy)")
    click.echo(f"ended by itself   {len(books.ended)}  (workers; each was replaced)")
    click.echo(f"drains by force   {world.fleet.forced()}  (ended by the end of the grace period)")
    click.echo(
        f"streams           {stats['sockets_opened']}, two at once for one interaction: {stats['overlaps']}"
    )
    click.echo(f"tokens            {stats['tokens_issued']}")


if __name__ == "__main__":
    ending.catch_signals()
    main()
