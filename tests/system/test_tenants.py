"""Several tenants in one worker: each job uses its tenant's credentials, and no tenant holds up another."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ops.sandbox import launch
from tests.system.audio import clip
from tests.system.installation import Installation

#: Realm, client and secret of each tenant, by the name that jobs give.
CLINICS = {
    "clinic-a": ("realm-a", "client-a", "Secret-Zebedee-A"),
    "clinic-b": ("realm-b", "client-b", "Secret-Zebedee-B"),
}
#: How many jobs the tenant gets that may have one stream at a time.
CROWD = 4


@pytest.fixture
def sandbox() -> Iterator[launch.Sandbox]:
    """A sandbox with its own realm and client, and one of each for every clinic."""
    options = [part for clinic in CLINICS.values() for part in ("--client", ":".join(clinic))]
    with launch.start(extra_arguments=options) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The clinics' credentials, as a mounted volume shows them."""
    root = tmp_path / "tenants"
    data = root / "..2026_11_25"
    for name, (realm, client_id, secret) in CLINICS.items():
        place = data / name
        place.mkdir(parents=True)
        for file, content in (("tenant", realm), ("client-id", client_id), ("client-secret", secret)):
            (place / file).write_text(content)
        (root / name).symlink_to(f"..data/{name}")
    (root / "..data").symlink_to(data.name)
    return root


def test_each_tenants_job_runs_with_its_own_token_and_tenant_name(
    installation: Installation, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    (folder / "clinic-b/retention").write_text("none")
    worker = installation.start_worker(tenants_dir=folder, audit=tmp_path / "audit").ready()
    # All use the same encounter identifier: tenants do not see each other's encounters.
    jobs = {
        name: installation.job(path, tenant=name, encounter={"identifier": "same"}, pace=10)
        for name in ("base", *CLINICS)
    }
    default = installation.job(path, pace=10)
    wrong = installation.job(path, tenant="clinic-c", pace=10)
    installation.put(wrong, default, *jobs.values())

    finals = installation.finals(5, timeout=40)

    assert {job_id: event["data"].get("reason") for job_id, event in finals.items()} == {
        wrong["job_id"]: "unknown_tenant",
        **dict.fromkeys([default["job_id"], *(job["job_id"] for job in jobs.values())]),
    }
    assert finals[wrong["job_id"]]["data"]["attempts"] == 1
    (letter,) = installation.dead(1, timeout=10)
    assert (letter["job_id"], letter["reason"]) == (wrong["job_id"], "unknown_tenant")
    # The sandbox refuses a token whose realm is not the request's tenant, so each stream had the right token.
    streams = {(record["tenant"], record["encounter_identifier"]) for record in installation.streams()}
    assert streams == {
        ("base", default["job_id"]),
        ("base", "same"),
        ("realm-a", "same"),
        ("realm-b", "same"),
    }
    stats = installation.sandbox.stats()
    assert stats["tokens_by_realm"] == {"base": 1, "realm-a": 1, "realm-b": 1}
    assert stats["sockets_refused"] == {}
    policies = {
        record["tenant"]: record["configuration"].get("retentionPolicy") for record in stats["streams"]
    }
    assert policies == {"base": None, "realm-a": None, "realm-b": "none"}
    counted = {
        name: worker.metric("corti_tenant_jobs_finished_total", tenant=name, outcome="completed")
        for name in jobs
    }
    assert counted == {"base": 2, "clinic-a": 1, "clinic-b": 1}
    assert worker.metric("corti_tenant_jobs_finished_total", tenant="unknown", outcome="failed") == 1
    for text in worker.text(), worker.get("/metrics")[1], worker.get("/status")[1]:
        assert "Zebedee" not in text
    assert "clinic-c" not in worker.get("/metrics")[1], "a producer must not be able to make labels"
    audit = (tmp_path / "audit").read_text()
    assert '{"type":"tenant","valueString":"clinic-b"},{"type":"retention","valueString":"none"}' in audit


def test_a_full_tenant_does_not_hold_up_another(
    installation: Installation, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    clip(path, 3.0, seed=1)
    (folder / "clinic-a/max-streams").write_text("1")
    # Fewer slots than jobs of the full tenant: if all of them waited in slots, no other job could run.
    installation.start_worker(tenants_dir=folder, slots=3).ready()
    crowd = [installation.job(path, tenant="clinic-a") for _ in range(CROWD)]
    installation.put(*crowd)
    installation.wait_for_streams(1)
    other = installation.job(path, tenant="clinic-b")
    installation.put(other)

    order = list(installation.finals(CROWD + 1, timeout=90))

    assert order.index(other["job_id"]) <= 2, order
    records = sorted(
        (record for record in installation.streams() if record["tenant"] == "realm-a"),
        key=lambda record: record["opened_at"],
    )
    assert len(records) == CROWD
    for earlier, later in pairwise(records):
        assert later["opened_at"] >= earlier["closed_at"] - 0.2, "the tenant had two streams at once"
    assert installation.workers[0].metric("corti_admissions_refused_total", tenant="clinic-a") > 0
    assert installation.workers[0].metric("corti_admissions_refused_total", tenant="clinic-b") == 0


def test_a_rotated_secret_of_one_tenant_is_read_again_and_no_job_fails(
    installation: Installation, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    worker = installation.start_worker(tenants_dir=folder).ready()
    installation.put(*(installation.job(path, tenant=name, pace=10) for name in CLINICS))
    installation.finals(2, timeout=30)
    installation.sandbox.fault("rotate_secret", secret="Secret-Zebedee-2", tenant="realm-a")
    installation.sandbox.fault("revoke_tokens")

    late = installation.job(path, tenant="clinic-a", pace=10)
    installation.put(late, installation.job(path, tenant="clinic-b", pace=10))
    first = installation.finals(1, timeout=30)
    assert late["job_id"] not in first
    assert worker.metric("corti_tenant_tokens_ok", tenant="clinic-a") == 0
    assert worker.metric("corti_tenant_tokens_ok", tenant="clinic-b") == 1
    # Update the volume as the kubelet does: a new directory, then the link `..data` is replaced.
    fresh = folder / "..2026_11_26"
    (folder / "..2026_11_25").rename(fresh)
    (fresh / "clinic-a/client-secret").write_text("Secret-Zebedee-2")
    (folder / "..data.new").symlink_to(fresh.name)
    (folder / "..data.new").rename(folder / "..data")

    finals = installation.finals(1, timeout=30)

    assert installation.outcomes(first | finals) == {"completed": 2}
    assert worker.metric("corti_tenant_tokens_ok", tenant="clinic-a") == 1
    assert worker.metric("corti_jobs_retried_total", reason="auth_rejected") > 0
