"""Processes with cold token caches, started by `test_tokens_processes.py`.

Imports what the processes need, forks them, lets all start at once, and prints a digest of each one's token.
"""

import hashlib
import multiprocessing
import sys
import time
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

import redis

from worker.clock import SystemClock
from worker.corti.rest import TokenEndpoint, http_session
from worker.protocol.token import TokenPolicy
from worker.store.token_cache import TokenCache
from worker.telemetry import metric_kinds


class Sleeper:
    """A waiter; the worker's own would import Celery into these processes."""

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


class Deaf:
    """A recorder that drops everything."""

    def count(self, counter: metric_kinds.Counter, by: float = 1.0, **labels: str) -> None: ...

    def observe(self, histogram: metric_kinds.Histogram, value: float, **labels: str) -> None: ...


def get_token(together: Barrier, digests: "SimpleQueue[str]", arguments: list[str]) -> None:
    """Get a token in one process, and report its digest."""
    redis_url, token_url, ca_file, client_id, client_secret, key = arguments
    client = redis.Redis.from_url(redis_url, socket_timeout=5)
    session = http_session(ca_file, 2)
    cache = TokenCache(
        client,
        TokenEndpoint(session, token_url, client_id, lambda: client_secret, 10, SystemClock()),
        name="processes",
        keys=(key,),
        fetch_timeout=10,
        policy=TokenPolicy(),
        recorder=Deaf(),
        clock=SystemClock(),
        waiter=Sleeper(),
        chance=0.5,
    )
    together.wait(20)
    digests.put(hashlib.sha256(cache.get().value.encode()).hexdigest())


def main(number: int, arguments: list[str]) -> None:
    """Run the processes and print their digests."""
    context = multiprocessing.get_context("fork")
    together, digests = context.Barrier(number), context.SimpleQueue()
    processes = [
        context.Process(target=get_token, args=(together, digests, arguments)) for _ in range(number)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        print(digests.get() if process.exitcode == 0 else "failed")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
