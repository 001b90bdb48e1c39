"""Tenants from a directory of files, as in mounted secrets, and every kind of fault."""

from pathlib import Path

import pytest

from tests.unit.environment import NEEDED, SECRET
from worker.settings import Settings, SettingsError, load, secret_of
from worker.settings.tenants import read_tenants


def tenant_files(root: Path, name: str, **files: str) -> Path:
    """Write a tenant's directory; the arguments name files, with `_` in place of `-` and `.`."""
    place = root / name
    place.mkdir(parents=True)
    for file, content in {"client_id": f"{name} client", "client_secret": SECRET, **files}.items():
        called = {"ca_crt": "ca.crt"}.get(file, file.replace("_", "-"))
        (place / called).write_text(f"{content}\n")
    return place


def settings(root: Path, **changes: str) -> Settings:
    return load({**NEEDED, "CORTI_WORKER_TENANTS_DIR": str(root), **changes})


def faults(root: Path, **changes: str) -> list[str]:
    """The faults of a directory of tenants; assert that none shows a secret."""
    with pytest.raises(SettingsError) as caught:
        settings(root, **changes)
    assert SECRET not in str(caught.value)
    return [fault.removeprefix("CORTI_WORKER_TENANTS_DIR: ") for fault in caught.value.faults]


def test_each_directory_is_a_tenant_beside_the_settings_own(tmp_path: Path) -> None:
    tenant_files(tmp_path, "clinic-b")
    tenant_files(tmp_path, "clinic-a", tenant="realm-a", environment="us", max_streams="7", retention="none")
    own, first, second = settings(tmp_path).tenants
    assert (own.name, own.client_id, own.max_streams) == ("base", "client", 0)
    assert (first.name, first.client_id, first.max_streams) == ("clinic-a", "clinic-a client", 7)
    assert first.token_endpoint == "https://auth.us.corti.app/realms/realm-a/protocol/openid-connect/token"
    assert (first.api, first.retention) == ("https://api.us.corti.app/v2", "none")
    assert second.token_endpoint == "https://auth.eu.corti.app/realms/clinic-b/protocol/openid-connect/token"


def test_a_tenant_inherits_from_the_settings_what_its_files_do_not_say(tmp_path: Path) -> None:
    tenant_files(tmp_path, "clinic-a")
    own, tenant = settings(
        tmp_path,
        CORTI_API_URL="https://api.example/v2",
        CORTI_WORKER_TENANT_STREAMS="5",
        CORTI_WORKER_RETENTION="none",
    ).tenants
    for one in own, tenant:
        assert (one.api, one.max_streams, one.retention) == ("https://api.example/v2", 5, "none")


def test_another_region_does_not_take_the_urls_of_the_settings_region(tmp_path: Path) -> None:
    tenant_files(tmp_path, "clinic-a", environment="us", stream_url="wss://gateway.example/a")
    _, tenant = settings(
        tmp_path, CORTI_API_URL="https://api.example/v2", CORTI_STREAM_URL="wss://other.example"
    ).tenants
    assert (tenant.api, tenant.stream_url) == ("https://api.us.corti.app/v2", "wss://gateway.example/a")


def test_with_tenants_the_settings_need_no_credentials_but_no_half_of_them_either(tmp_path: Path) -> None:
    tenant_files(tmp_path, "clinic-a")
    where = {"CORTI_WORKER_TENANTS_DIR": str(tmp_path)}
    assert [tenant.name for tenant in load(where).tenants] == ["clinic-a"]
    with pytest.raises(SettingsError) as caught:
        load({**where, "CORTI_CLIENT_ID": "client"})
    assert caught.value.faults == ["CORTI_CLIENT_SECRET: is required"]


def test_kubernetes_own_entries_are_no_tenants(tmp_path: Path) -> None:
    """In a mounted volume, the data lies behind a link, which the kubelet replaces when a secret changes."""
    tenant_files(tmp_path / "..2026_11_25", "clinic-a")
    (tmp_path / "..data").symlink_to("..2026_11_25")
    (tmp_path / "clinic-a").symlink_to("..data/clinic-a")
    (tmp_path / "..2026_11_25/clinic-a/..data").mkdir()
    assert [tenant.name for tenant in settings(tmp_path).tenants] == ["base", "clinic-a"]


def test_a_secret_that_was_rotated_is_read_again(tmp_path: Path) -> None:
    place = tenant_files(tmp_path, "clinic-a")
    own, tenant = settings(tmp_path).tenants
    (place / "client-secret").write_text("next\n")
    assert secret_of(tenant) == "next"
    assert secret_of(own) == SECRET
    for gone in "", None:  # in the middle of a rotation
        (place / "client-secret").write_text(gone) if gone is not None else (place / "client-secret").unlink()
        assert secret_of(tenant) == SECRET


def test_the_settings_own_secret_is_read_again_where_it_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("first")
    monkeypatch.setenv("CORTI_CLIENT_ID", "client")
    monkeypatch.setenv("CORTI_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    (own,) = load().tenants
    (tmp_path / "secret").write_text("second\n")
    assert secret_of(own) == "second"


def test_all_faults_of_all_tenants_are_told_at_once_with_those_of_the_settings(tmp_path: Path) -> None:
    tenant_files(tmp_path, "a", client_secret="", environment="EU/", max_streams=SECRET, api_url=SECRET)
    (tenant_files(tmp_path, "b") / "client-id").unlink()
    tenant_files(tmp_path, "c", client_secrets=SECRET)
    (tenant_files(tmp_path, "d") / "client-secret").write_bytes(b"\xff")
    tenant_files(tmp_path, "e e")
    (tmp_path / "f").write_text(SECRET)
    told = faults(tmp_path, CORTI_WORKER_SLOTS="0")
    assert [fault.partition(": ")[0] for fault in told] == [
        "CORTI_WORKER_SLOTS",
        "a/client-secret",
        "a/environment",
        "a/api-url",
        "a/max-streams",
        "b/client-id",
        "c/client-secrets",
        "d/client-secret",
        "e e",
        "f",
    ]
    assert "b/client-id: is required" in told
    assert "d/client-secret: cannot be read (UnicodeDecodeError)" in told
    assert "f: expected a directory with the tenant's files" in told
    assert any(fault.startswith("c/client-secrets: no such file is known; there may be cl") for fault in told)


def test_two_tenants_of_one_name_are_a_fault(tmp_path: Path) -> None:
    tenant_files(tmp_path, "base")
    assert faults(tmp_path) == ["base: CORTI_TENANT is called so, too; keep one of them"]


def test_a_directory_that_is_empty_or_missing_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path) == ["expected a directory in it for each tenant; there is none"]
    assert faults(tmp_path / "x") == ["expected the path of an existing directory"]


def test_a_directory_that_cannot_be_listed_is_a_fault(tmp_path: Path) -> None:
    """Root can list every directory, so the test removes the directory instead."""
    assert read_tenants(tmp_path / "gone", {}) == ((), ["cannot be listed (FileNotFoundError)"])


def test_no_text_of_a_tenant_shows_its_secret(tmp_path: Path) -> None:
    tenant_files(tmp_path, "clinic-a")
    every = settings(tmp_path)
    for text in repr(every), repr(every.tenants), every.tenants[1].model_dump_json(), f"{every.beside(())!r}":
        assert SECRET not in text
