"""The Redis fixture: each way of breaking a server, and its return on the same port."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from ops.lib.servers import RedisServer, ServerError
from tests.conftest import require

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    require(*RedisServer.available())
    with RedisServer(appendonly=True) as running:
        yield running


def test_it_answers_at_its_url_and_never_evicts(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        assert client.ping() is True
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_data_survive_a_kill_and_a_restart_on_the_same_port(server: RedisServer) -> None:
    with server.cli_client() as client:
        client.set("job", "1")
        url, old_pid = server.url, server.pid
        server.kill()
        assert not server.running
        with pytest.raises(redis.ConnectionError):
            client.get("job")
        server.restart()
        assert server.pid != old_pid
        assert server.url == url
        assert client.get("job") == "1"
        server.stop()
        server.start()
        assert client.get("job") == "1"


def test_a_paused_server_takes_connections_and_answers_nothing(server: RedisServer) -> None:
    with ExitStack() as stack:
        with server.frozen():
            address = ("127.0.0.1", server.port)
            connection = stack.enter_context(socket.create_connection(address, timeout=0.2))
            connection.sendall(b"PING\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(16)
        connection.settimeout(5)
        assert connection.recv(16) == b"+PONG\r\n"


def test_a_paused_server_can_be_closed_and_leaves_nothing_behind() -> None:
    require(*RedisServer.available())
    server = RedisServer().start()
    pid, directory = server.pid, Path(str(server.cli_client().config_get("dir")["dir"]))
    server.pause()
    server.close()
    assert not is_alive(pid)
    assert not directory.exists()
    with pytest.raises(ServerError, match="the Redis server is not running; start it first"):
        _ = server.pid


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho 'Fatal error, cannot open file' >&2\nexit 1\n")
    broken.chmod(0o755)
    server = RedisServer(executable=broken)
    with pytest.raises(
        ServerError, match=r"(?s)ended with code 1 while starting.*Fatal error, cannot open file"
    ):
        server.start()
    server.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ties a server to its parent")
def test_the_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    require(*RedisServer.available())
    program = (
        "import os, signal\nfrom ops.lib.servers import RedisServer\n"
        "print(RedisServer().start().pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while is_alive(int(done.stdout)):
        assert time.monotonic() < deadline, "the server outlived its parent"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
