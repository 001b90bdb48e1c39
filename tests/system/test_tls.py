"""TLS to the broker and to Redis: a server that cannot prove its name gets no password.

`/readyz` says why the connection failed.
"""

import datetime as dt
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from ops.lib.worker_process import WorkerProcess
from tests.system.audio import clip
from tests.system.installation import Installation
from tests.tls_server import TlsServer

_UTC = dt.UTC


@dataclass
class Guarded:
    """An installation whose workers reach the broker over TLS only."""

    installation: Installation
    ours: trustme.CA
    server: TlsServer
    folder: Path

    def start(self, **settings: object) -> WorkerProcess:
        return self.installation.start_worker(**settings)

    def pem(self, name: str, *blobs: trustme.Blob) -> Path:
        path = self.folder / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return path

    def trusting(self, authority: trustme.CA) -> dict[str, object]:
        return {"broker_ca_file": self.pem("ca.pem", authority.cert_pem)}

    def showing(self, authority: trustme.CA) -> dict[str, object]:
        mine = authority.issue_cert("worker@corti.example")
        return {
            "broker_cert_file": self.pem("cert.pem", *mine.cert_chain_pems),
            "broker_key_file": self.pem("key.pem", mine.private_key_pem),
        }


Guard = Callable[..., Guarded]


@pytest.fixture
def guard(installation: Installation, tmp_path: Path) -> Iterator[Guard]:
    """A function that puts a TLS proxy with a new certificate in front of the broker."""
    with ExitStack() as stack:

        def put(
            authority: trustme.CA, *names: str, asks: trustme.CA | None = None, **kind: object
        ) -> Guarded:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(*names, **kind).configure_cert(context)  # type: ignore[arg-type]
            if asks is not None:
                asks.configure_trust(context)
                context.verify_mode = ssl.CERT_REQUIRED
            plain = urlsplit(installation.broker_url)
            server = stack.enter_context(TlsServer(context, plain.port or 0))
            secure = installation.broker_url.replace(f":{plain.port}", f":{server.port}")
            secure = secure.replace("redis:", "rediss:", 1).replace("amqp:", "amqps:", 1)
            installation.settings["CORTI_WORKER_BROKER_URL"] = secure
            if installation.broker == "redis":
                del installation.settings["CORTI_WORKER_REDIS_URL"]  # Redis is the broker, too
            return Guarded(installation, authority, server, tmp_path)

        yield put
        installation.end_workers()


def assert_refused(guarded: Guarded, worker: WorkerProcess, why: str) -> None:
    """Assert that no connection completes its handshake or sends a byte, and that `/readyz` says why."""
    installation = guarded.installation
    checks = ["consumer", "door"] + (["redis"] if installation.broker == "redis" else [])
    installation.until(lambda: worker.health_port() is not None, 30)
    installation.until(lambda: worker.get("/readyz")[1].count(why) >= len(checks), 40)
    lines = dict(line.split(": ", 1) for line in worker.get("/readyz")[1].splitlines())
    for check in checks:
        assert why in lines[check]
        assert "_CA_FILE" in lines[check]
    seen = guarded.server.connections
    time.sleep(4)
    assert guarded.server.connections > seen, "the worker does not try again"
    assert (guarded.server.handshakes, guarded.server.received) == (0, 0)
    assert worker.get("/livez")[0] == 200


def assert_works(guarded: Guarded, worker: WorkerProcess) -> None:
    clip(guarded.folder / "short.wav", 1.0, seed=1)
    worker.ready()
    guarded.installation.put(guarded.installation.job(guarded.folder / "short.wav", pace=4))
    finals = guarded.installation.finals(1, timeout=30)
    assert guarded.installation.outcomes(finals) == {"completed": 1}
    assert guarded.server.handshakes == guarded.server.connections > 3


def test_a_server_with_a_certificate_of_our_authority_is_trusted(guard: Guard) -> None:
    authority = trustme.CA()
    guarded = guard(authority, "127.0.0.1")
    assert_works(guarded, guarded.start(**guarded.trusting(authority)))


def test_a_server_that_asks_for_our_certificate_gets_it(guard: Guard) -> None:
    authority, staff = trustme.CA(), trustme.CA()
    guarded = guard(authority, "127.0.0.1", asks=staff)
    assert_works(guarded, guarded.start(**guarded.trusting(authority), **guarded.showing(staff)))


def test_a_server_of_an_unknown_authority_is_refused(guard: Guard) -> None:
    guarded = guard(trustme.CA(), "127.0.0.1")
    worker = guarded.start(**guarded.trusting(trustme.CA()))
    assert_refused(guarded, worker, "its certificate comes from an authority that is not trusted")


def test_without_a_setting_only_the_systems_authorities_are_trusted(guard: Guard) -> None:
    guarded = guard(trustme.CA(), "127.0.0.1")
    assert_refused(guarded, guarded.start(), "its certificate comes from an authority that is not trusted")


def test_a_server_that_shows_another_name_is_refused(guard: Guard) -> None:
    authority = trustme.CA()
    guarded = guard(authority, "broker.example.org", "127.0.0.2")
    worker = guarded.start(**guarded.trusting(authority))
    assert_refused(guarded, worker, "its certificate is for another")


def test_a_server_whose_certificate_has_expired_is_refused(guard: Guard) -> None:
    authority = trustme.CA()
    past = dt.datetime(2020, 1, 1, tzinfo=_UTC)
    guarded = guard(authority, "127.0.0.1", not_before=past, not_after=past + dt.timedelta(days=1))
    worker = guarded.start(**guarded.trusting(authority))
    assert_refused(guarded, worker, "its certificate has expired")


def test_a_server_that_asks_for_a_certificate_which_we_do_not_have_refuses_us(guard: Guard) -> None:
    authority, staff = trustme.CA(), trustme.CA()
    guarded = guard(authority, "127.0.0.1", asks=staff)
    worker = guarded.start(**guarded.trusting(authority))
    assert_refused(guarded, worker, "asks for a client certificate")
