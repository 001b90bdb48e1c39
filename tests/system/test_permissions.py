"""The rights that ops/docs/permissions.md lists are exactly those that a worker needs."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from ops.lib.servers import RabbitMqServer, RedisServer
from tests.system.audio import clip
from tests.system.installation import HERE, Installation

PAGE = (HERE / "ops/docs/permissions.md").read_text()
USER, PASSWORD = "corti-worker", "secret-of-the-worker"
REPLIES = "corti.results.clinic"
#: Listed commands that these tests do not cause: `unwatch` follows a transaction that another client's change
#: has broken, `exists` (beside RabbitMQ) a loss of Redis' data, `ping` a time without use of a connection.
RARE = {"unwatch", "exists", "ping"}


def block(name: str) -> str:
    """The text of one list on the page."""
    found = re.search(rf"^```text {name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def patterns() -> dict[str, str]:
    """RabbitMQ's three permission patterns: configure, write, read."""
    return dict(line.split() for line in block("rabbitmq").splitlines())


def as_user(url: str) -> str:
    """The same address, with the credentials of the restricted user."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{USER}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()


def rights(broker: str) -> list[str]:
    """A worker's rights in Redis, as arguments of ACL SETUSER."""
    return [*block("redis-state").split(), *(block("redis-broker").split() if broker == "redis" else [])]


@contextmanager
def redis_user(server: RedisServer, *allowed: str) -> Iterator[redis.Redis]:
    """Create a Redis user with exactly these rights; yield an administrator's client."""
    with server.cli_client() as client:
        command: Any = client.execute_command
        command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *allowed)
        client.acl_log_reset()
        client.script_flush()  # other tests have left their scripts there
        client.config_resetstat()
        try:
            yield client
        finally:
            client.acl_deluser(USER)


@contextmanager
def rabbitmq_user(server: RabbitMqServer, url: str, rights: dict[str, str]) -> Iterator[None]:
    """Create a RabbitMQ user with exactly these rights."""
    server.http("PUT", f"/api/users/{USER}", {"password": PASSWORD, "tags": ""})
    server.http("PUT", f"/api/permissions/{urlsplit(url).path[1:]}/{USER}", rights)
    yield
    server.http("DELETE", f"/api/users/{USER}")


@pytest.fixture
def guarded(
    installation: Installation, redis_server: RedisServer, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    """An installation whose workers have the rights that the page lists.

    At the end, Redis must have refused no command, and each listed command must have been used or be rare.
    """
    installation.settings["CORTI_WORKER_REDIS_URL"] = as_user(redis_server.url)
    installation.settings["CORTI_WORKER_BROKER_URL"] = as_user(installation.broker_url)
    allowed = rights(installation.broker)
    with ExitStack() as stack:
        client = stack.enter_context(redis_user(redis_server, *allowed))
        if installation.broker == "rabbitmq":
            server = request.getfixturevalue("rabbitmq_server")
            stack.enter_context(rabbitmq_user(server, installation.broker_url, patterns()))
        yield installation
        installation.end_workers()
        assert client.acl_log() == []
        used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
        assert {one[1:] for one in allowed if one[0] == "+"} - used <= RARE


def test_the_rights_of_the_page_are_enough(
    guarded: Installation, redis_server: RedisServer, tmp_path: Path
) -> None:
    long, short = tmp_path / "long.wav", tmp_path / "short.wav"
    clip(long, 8.0, seed=1)
    clip(short, 1.0, seed=2)
    other = tmp_path / "tenants" / "clinic"
    other.mkdir(parents=True)
    for name in "client-id", "client-secret":
        (other / name).write_text("unused")
    quick = {
        "slots": 4,
        "lease": 5,
        "visibility_timeout": 6,
        "tenant_streams": 2,
        "tenants_dir": other.parent,
    }
    first = guarded.start_worker(**quick).ready()
    # Two jobs stream, one waits in its slot for its tenant's cap, one goes aside; then their worker dies.
    jobs = [guarded.job(long, events=["transcript", "facts", "progress"]) for _ in range(4)]
    guarded.put(*jobs, b"no job")
    guarded.wait_for_streams(2)
    guarded.until(lambda: first.metric("corti_jobs_handed_back_total", reason="set_aside") >= 1, 20)
    first.kill()
    guarded.until(lambda: not guarded.open_streams(), 20)
    # A drain hands a job back, and another worker takes it.
    second = guarded.start_worker(**quick).ready()
    guarded.wait_for_streams(2)
    second.hand_back()
    guarded.start_worker(**quick).ready()
    finals = guarded.finals(4, timeout=120)
    assert guarded.outcomes(finals) == {"completed": 4}
    # One job that fails, one that is put on the queue again, one whose result goes to another queue.
    gone = guarded.job(tmp_path / "gone.wav")
    guarded.put(gone, jobs[0], guarded.job(short, reply_to=REPLIES))
    assert guarded.outcomes(guarded.finals(1, timeout=60)) == {"audio_unreachable": 1}
    assert {letter["reason"] for letter in guarded.dead(2, timeout=20)} == {
        "invalid_job",
        "audio_unreachable",
    }
    assert guarded.box.take(REPLIES, 20.0) is not None


def test_a_user_with_fewer_rights_is_told_so(
    installation: Installation, redis_server: RedisServer, request: pytest.FixtureRequest
) -> None:
    with ExitStack() as stack:
        installation.settings["CORTI_WORKER_BROKER_URL"] = as_user(installation.broker_url)
        if installation.broker == "redis":
            del installation.settings["CORTI_WORKER_REDIS_URL"]
            stack.enter_context(redis_user(redis_server, *rights("rabbitmq")))
        else:
            server = request.getfixturevalue("rabbitmq_server")
            stack.enter_context(rabbitmq_user(server, installation.broker_url, {**patterns(), "read": ""}))
        assert_told(installation)
        installation.end_workers()


def test_a_user_who_is_not_known_is_told_so(installation: Installation) -> None:
    installation.settings["CORTI_WORKER_BROKER_URL"] = as_user(installation.broker_url)
    assert_told(installation)


def assert_told(installation: Installation) -> None:
    """Assert that `/readyz` names the page for consumer and door, and that no log shows the password."""
    worker = installation.start_worker()
    installation.until(lambda: worker.health_port() is not None, 30)
    installation.until(lambda: worker.get("/readyz")[1].count("ops/docs/permissions.md") >= 2, 30)
    assert worker.get("/livez")[0] == 200
    assert PASSWORD not in worker.text()
