"""`ops/test soak`: its books of jobs and results, its order of faults, its relay, its skewed worker."""

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ops.lib.servers import RedisServer
from ops.soak.__main__ import _deck
from ops.soak.books import Books
from ops.soak.double_faults import EVERY
from ops.soak.relay import Relay
from tests.conftest import require
from tests.contract.waiting import eventually

ROOT = Path(__file__).parents[2]


def event(job_id: str, **data: Any) -> bytes:
    return json.dumps({"type": "corti.job.completed.v1", "subject": job_id, "data": data}).encode()


def letter(body: bytes, **more: str) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return json.dumps({"version": 1, "reason": "invalid_job", "sha256": digest, **more}).encode()


def put_invalid(books: Books, body: bytes, *, confirmed: bool = True) -> None:
    books.put_invalid(hashlib.sha256(body).hexdigest(), confirmed=confirmed)


def test_books_balance_when_everything_came_back_once() -> None:
    books = Books()
    books.put("a")
    put_invalid(books, b"x")
    put_invalid(books, b"perhaps never put", confirmed=False)
    assert (books.missing, len(books.letters_missing)) == ({"a"}, 1)
    assert not books.settled
    books.enter_result(event("a", text="one"))
    books.enter_dead(letter(b"x"))
    assert books.balanced
    assert books.outcomes == {"completed": 1}


def test_the_same_result_or_dead_letter_twice_is_no_fault() -> None:
    books = Books()
    books.put("a")
    for _ in range(2):
        books.enter_result(event("a", text="one"))
        books.enter_dead(letter(b"x", id="of x"))
    assert books.repeats == 1
    assert books.balanced


@pytest.mark.parametrize(
    "wrong",
    [
        lambda books: books.put("lost"),
        lambda books: [books.enter_result(event("a", text=text)) for text in ("one", "two")],
        lambda books: put_invalid(books, b"lost"),
        lambda books: [books.enter_dead(letter(b"x")) for _ in range(2)],
        lambda books: [books.enter_dead(letter(b"x", id=name)) for name in ("one", "two")],
        lambda books: books.enter_dead(b'{"task": "corti.run", "args": []}'),
        lambda books: books.enter_dead(b"\xff no JSON"),
        lambda books: books.enter_dead(b"[]"),
        lambda books: books.alarm("livez said 503"),
    ],
)
def test_books_do_not_balance(wrong: Any) -> None:
    books = Books()
    wrong(books)
    assert not books.balanced


def test_a_worker_that_ended_by_itself_does_not_unbalance_the_books() -> None:
    books = Books()
    books.ended.append("worker-1")
    assert books.balanced


def test_every_fault_is_played_before_one_comes_again() -> None:
    chances = random.Random(5), random.Random(5)  # noqa: S311 -- repeatable, not secret
    first, again = (list(islice(_deck(list(EVERY), chance), 3 * len(EVERY))) for chance in chances)
    assert first == again, "the same seed must give the same order"
    for start in range(0, len(first), len(EVERY)):
        assert set(first[start : start + len(EVERY)]) == set(EVERY)
    # One fault takes 40 s, the others at most 12 s, so a run of ten minutes has room for all.
    assert len(EVERY) * 12 + 40 < 600


@pytest.fixture
def server() -> Iterator[RedisServer]:
    require(*RedisServer.available())
    with RedisServer() as running:
        yield running


def ask(connection: socket.socket) -> float:
    began = time.monotonic()
    connection.sendall(b"PING\r\n")
    assert connection.recv(16) == b"+PONG\r\n"
    return time.monotonic() - began


def test_the_relay_passes_bytes_on_and_delays_them(server: RedisServer) -> None:
    with Relay(server.port) as relay, socket.create_connection(("127.0.0.1", relay.port), 5) as connection:
        ask(connection)
        relay.delay = 0.3
        assert ask(connection) >= 0.3
        relay.delay = 0.0
        assert min(ask(connection) for _ in range(5)) < 0.3


def test_the_relay_closes_with_the_broker_and_serves_it_again(server: RedisServer) -> None:
    with Relay(server.port) as relay:
        with socket.create_connection(("127.0.0.1", relay.port), 5) as connection:
            ask(connection)
            server.kill()
            assert connection.recv(16) == b""
        with socket.create_connection(("127.0.0.1", relay.port), 5) as connection:
            assert connection.recv(16) == b""
        server.start()
        with socket.create_connection(("127.0.0.1", relay.port), 5) as connection:
            ask(connection)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", relay.port), 1)
    with server.cli_client() as client:
        eventually(lambda: client.info("clients")["connected_clients"] == 1, 5)


def test_the_skewed_workers_clocks_are_wrong() -> None:
    program = (
        "import time\nfrom datetime import UTC, datetime\nright = time.time()\n"
        "import ops.soak.skewed_worker\nfrom worker.clock import SystemClock\n"
        "print(round(time.time() - right), round(SystemClock().wall().timestamp() - right))\n"
    )
    env = {**os.environ, "SOAK_CLOCK_SKEW": "-600"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    # Time passes between the readings, more of it on a busy machine.
    skews = [int(word) for word in done.stdout.split()]
    assert skews == [pytest.approx(-600, abs=10)] * 2, done.stdout
