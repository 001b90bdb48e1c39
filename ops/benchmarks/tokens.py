"""`ops/bench tokens`: how many tokens a fleet requests, with the shared cache and without.

Time is scaled, not simulated: a token with a lifetime of a few seconds stands for one of 300 s, and the
times in the cache's policy are scaled alike. So an hour passes in half a minute, with real processes, a real
Redis and real requests. One interval is not scaled: the cache reads Redis every 5 s, which is longer than a
scaled token's lifetime.
"""

import multiprocessing
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import redis

from ops.benchmarks import report
from ops.benchmarks.figures import Row
from ops.benchmarks.meter import cores
from ops.benchmarks.native.server import LoadServer
from ops.lib import children
from ops.lib.servers import RedisServer
from worker.clock import SystemClock
from worker.concurrency.background import ThreadWaiter
from worker.corti.rest import TokenEndpoint, http_session
from worker.protocol.token import TokenPolicy
from worker.store.token_cache import TokenCache
from worker.telemetry.metrics import Metrics

SHARED, OWN = "shared cache (worker)", "a token per process"
#: Lifetime in seconds of the service's tokens (PROTOCOL.md 2.2).
_REAL_LIFETIME = 300.0
#: Jobs that a process starts in a second of scaled time. Each needs a token.
_ASKS_PER_SECOND = 20.0
_POLICY = TokenPolicy()
_COLUMNS = {
    "requests": "token requests",
    "per_hour": "an hour",
    "per_token": "for each token's useful life",
    "asked": "times a job asked",
    "failed": "failed",
    "server_cpu": "server's core",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """Scaled time.

    Attributes:
        lifetime: Scaled lifetime of a token, in seconds.
        lives: Length of a measurement, in token lifetimes.
    """

    lifetime: float
    lives: float

    @property
    def factor(self) -> float:
        """How many seconds a second of the measurement stands for."""
        return _REAL_LIFETIME / self.lifetime

    @property
    def seconds(self) -> float:
        """Length of a measurement in seconds."""
        return self.lives * self.lifetime

    @property
    def policy(self) -> TokenPolicy:
        """The worker's policy for tokens, scaled. Shares of the lifetime need no scaling."""
        return TokenPolicy(early=_POLICY.early / self.factor, margin=_POLICY.margin / self.factor)

    @property
    def useful(self) -> float:
        """Seconds after which a process renews a token at the earliest."""
        return self.lifetime - max(self.policy.early, self.policy.share * self.lifetime)


@dataclass(frozen=True, slots=True)
class Member:
    """The arguments of one process of the fleet.

    Attributes:
        redis_url: URL of the shared cache, or None for a process without one.
        url: URL of the load server.
        ca_file: PEM file of the authority that signed its certificate.
        scale: The scaled time.
        seed: Seed of the process's random numbers.
    """

    redis_url: str | None
    url: str
    ca_file: str
    scale: Scale
    seed: int


@click.command()
@click.option("--quick", is_flag=True, help="8 processes, for a shorter time.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
def tokens(quick: bool, file: Path | None) -> None:
    """Count the token requests of fleets of different sizes over an hour of scaled time."""
    scale = Scale(1.5, 5.0) if quick else Scale(3.0, 12.0)
    sizes = [8] if quick else [1, 4, 16, 64]
    hours = scale.lives * _REAL_LIFETIME / 3600
    rows: list[Row] = []
    with report.progress("tokens", len(sizes) * 2) as begin:
        for size in sizes:
            for subject in (SHARED, OWN):
                begin(f"{size} x {subject}")
                rows.append(
                    {"processes": size, "subject": subject, "round": 0, **measure(size, subject, scale)}
                )
    caption = (
        f"{hours:.2g} h of scaled time in {scale.seconds:g} s: {scale.lifetime:g} s stand for a lifetime of "
        f"{_REAL_LIFETIME:g} s. Tokens are renewed after {scale.useful * scale.factor:g} s at the earliest."
    )
    report.show(
        report.table("Token requests", rows, ["processes", "subject"], _COLUMNS, caption),
    )
    if file:
        report.write_json(file, "tokens", rows, hours=hours, lifetime=scale.lifetime)


def measure(size: int, subject: str, scale: Scale) -> dict[str, Any]:
    """Run a fleet of `size` processes, count the requests to the token endpoint, and return a row."""
    # Processes are forked from a server that has only imported this module, so they start quickly.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with RedisServer() as soft, LoadServer(core=cores()[0], token_lifetime=scale.lifetime) as server:
        shared = soft.url if subject == SHARED else None
        before, began = server.stats()["cpu_seconds"], time.monotonic()
        results = context.Queue()
        members = [
            context.Process(
                target=_member,
                args=(Member(shared, server.url, str(server.ca_file), scale, seed), results),
                daemon=True,
            )
            for seed in range(size)
        ]
        for member in members:
            member.start()
        counts = [results.get(timeout=scale.seconds + 60) for _ in members]
        for member in members:
            member.join()
        stats, seconds = server.stats(), time.monotonic() - began
    requests = int(stats["tokens"])
    return {
        "requests": requests,
        "per_hour": requests / (scale.seconds * scale.factor / 3600),
        "per_token": requests / (scale.seconds / scale.useful),
        "asked": sum(asked for asked, _ in counts),
        "failed": sum(failed for _, failed in counts),
        "server_cpu": (stats["cpu_seconds"] - before) / seconds,
    }


def _member(member: Member, results: Any) -> None:
    """Run one process: jobs start at random times, and each asks the worker's cache for a token."""
    children.end_with_parent()
    chance = random.Random(member.seed)
    cache = _cache(member, chance.random())
    asked = failed = 0
    pause = threading.Event()
    ends = time.monotonic() + member.scale.seconds
    while time.monotonic() < ends:
        try:
            token = cache.get()
        except Exception:  # noqa: BLE001  # whatever the error, the job has no token
            failed += 1
        else:
            # An expired token counts as a failure: a cache that returned such tokens would need few requests.
            failed += token.expires_at <= time.monotonic()
        asked += 1
        pause.wait(chance.expovariate(_ASKS_PER_SECOND))
    results.put((asked, failed))


def _cache(member: Member, chance: float) -> TokenCache:
    clock = SystemClock()
    client = redis.Redis.from_url(member.redis_url) if member.redis_url else None
    endpoint = TokenEndpoint(
        http_session(member.ca_file, 1),
        f"{member.url}/realms/base/protocol/openid-connect/token",
        "bench",
        lambda: "bench-secret",
        10.0,
        clock,
    )
    return TokenCache(
        client,
        endpoint,
        name="bench",
        keys=(),
        fetch_timeout=10.0,
        policy=member.scale.policy,
        recorder=Metrics(),
        clock=clock,
        waiter=ThreadWaiter(),
        chance=chance,
    )
