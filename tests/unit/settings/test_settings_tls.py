"""Settings of TLS to the broker and to Redis: files that exist, and a key with its certificate."""

from pathlib import Path

import pytest

from tests.unit.environment import NEEDED, SECRET, faults
from worker.network.trust import Trust
from worker.settings import load

REDIS = f"rediss://:{SECRET}@broker.example:6379/0"
RABBIT = {
    "CORTI_WORKER_BROKER_URL": f"amqps://user:{SECRET}@broker.example/",
    "CORTI_WORKER_REDIS_URL": f"rediss://:{SECRET}@redis.example/0",
}


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "some.pem"
    path.write_text("-----BEGIN CERTIFICATE-----")
    return path


@pytest.mark.parametrize("kind", ["CA", "CERT", "KEY"])
@pytest.mark.parametrize("party", ["BROKER", "REDIS"])
def test_files_without_tls_are_a_fault(pem: Path, party: str, kind: str) -> None:
    plain = {"CORTI_WORKER_REDIS_URL": "redis://redis.example/0"}
    name = f"CORTI_WORKER_{party}_{kind}_FILE"
    assert faults(**plain, **{name: str(pem)}) == [
        f"expected rediss:// or amqps:// in CORTI_WORKER_{party}_URL, because {name} is set"
    ]


@pytest.mark.parametrize("party", ["BROKER", "REDIS"])
def test_a_key_needs_its_certificate(pem: Path, party: str) -> None:
    assert faults(**RABBIT, **{f"CORTI_WORKER_{party}_KEY_FILE": str(pem)}) == [
        f"expected CORTI_WORKER_{party}_CERT_FILE, because CORTI_WORKER_{party}_KEY_FILE is set"
    ]


@pytest.mark.parametrize("kind", ["CA", "CERT", "KEY"])
@pytest.mark.parametrize("party", ["BROKER", "REDIS"])
def test_the_files_must_exist(tmp_path: Path, party: str, kind: str) -> None:
    name = f"CORTI_WORKER_{party}_{kind}_FILE"
    (fault,) = faults(**RABBIT, **{name: str(tmp_path / "missing.pem")})
    assert fault.startswith(f"{name}: ")


def test_connections_with_tls_have_authorities_and_those_without_have_none() -> None:
    plain = load(NEEDED)
    assert (plain.broker_trust, plain.redis_trust) == (None, None)
    secure = load({**NEEDED, **RABBIT})
    assert (secure.broker_trust, secure.redis_trust) == (Trust(), Trust())


def test_the_broker_and_redis_have_files_of_their_own(tmp_path: Path) -> None:
    files = {}
    for name in "BROKER_CA", "BROKER_CERT", "BROKER_KEY", "REDIS_CA":
        files[name] = tmp_path / f"{name}.pem"
        files[name].write_text(name)
    given = {f"CORTI_WORKER_{name}_FILE": str(path) for name, path in files.items()}
    settings = load({**NEEDED, **RABBIT, **given})
    assert settings.broker_trust == Trust(files["BROKER_CA"], files["BROKER_CERT"], files["BROKER_KEY"])
    assert settings.redis_trust == Trust(files["REDIS_CA"])


def test_where_the_broker_is_redis_the_state_uses_the_brokers_files(pem: Path) -> None:
    settings = load({**NEEDED, "CORTI_WORKER_BROKER_URL": REDIS, "CORTI_WORKER_BROKER_CA_FILE": str(pem)})
    assert settings.redis_trust == settings.broker_trust == Trust(pem)
