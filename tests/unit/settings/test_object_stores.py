"""Object stores in the settings: whose buckets they are, files of credentials, and the way to a server."""

from pathlib import Path

import pytest

from tests.unit.environment import NEEDED, SECRET, faults
from tests.unit.settings.test_tenants_dir import faults as tenant_faults
from tests.unit.settings.test_tenants_dir import settings, tenant_files
from worker.settings import load
from worker.settings.credentials import read_credentials

_S3 = f"aws_access_key_id = AKIA\naws_secret_access_key = {SECRET}"
_GS = f'{{"type": "service_account", "private_key": "{SECRET}"}}'


def test_unless_buckets_are_named_there_are_none() -> None:
    assert load(NEEDED).audio_buckets is None
    (own,) = load({**NEEDED, "CORTI_WORKER_AUDIO_BUCKETS": "s3://visits/a/, gs://bbb"}).tenants
    assert own.audio_buckets == "s3://visits/a/, gs://bbb"
    for wrong in "", "visits", f"s3://visits/{SECRET}", "https://visits":
        (fault,) = faults(CORTI_WORKER_AUDIO_BUCKETS=wrong)
        assert fault.startswith("CORTI_WORKER_AUDIO_BUCKETS: expected a list separated by commas of buckets")


def test_a_tenant_never_has_the_buckets_of_the_settings(tmp_path: Path) -> None:
    tenant_files(tmp_path, "clinic-a", audio_buckets="s3://aaa")
    tenant_files(tmp_path, "clinic-b")
    found = settings(tmp_path, CORTI_WORKER_AUDIO_BUCKETS="s3://own").tenants
    assert [tenant.audio_buckets for tenant in found] == ["s3://own", "s3://aaa", None]


def test_http_must_be_allowed() -> None:
    assert load({**NEEDED, "CORTI_WORKER_S3_ENDPOINT": "https://minio.example/"}).s3_endpoint
    clear = {"CORTI_WORKER_S3_ENDPOINT": "http://minio.example"}
    assert load({**NEEDED, **clear, "CORTI_WORKER_S3_ALLOW_HTTP": "true"}).s3_allow_http
    (fault,) = faults(**clear)
    assert fault.startswith("expected https:// in CORTI_WORKER_S3_ENDPOINT; CORTI_WORKER_S3_ALLOW_HTTP=true")
    assert faults(CORTI_WORKER_S3_ENDPOINT=SECRET) == [
        "CORTI_WORKER_S3_ENDPOINT: expected a URL that starts with https:// or http://"
    ]


@pytest.mark.parametrize(
    ("kind", "text", "keys"),
    [
        ("s3", _S3, {"aws_access_key_id", "aws_secret_access_key"}),
        ("s3", f"[clinic]\n# ours\n{_S3}", {"aws_access_key_id", "aws_secret_access_key"}),
        (
            "s3",
            f"{_S3}\naws_session_token=a=b%c\nregion = eu-north-1\nendpoint_url = https://minio.example",
            {"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region", "endpoint_url"},
        ),
        ("gs", _GS, {"service_account_key"}),
        ("az", f"account_name = a\naccount_key = {SECRET}", {"account_name", "account_key"}),
        ("az", f"account_name = a\nsas_token = {SECRET}", {"account_name", "sas_token"}),
    ],
)
def test_credentials_are_read_from_the_form_that_operators_have(
    tmp_path: Path, kind: str, text: str, keys: set[str]
) -> None:
    (tmp_path / "file").write_text(text)
    found = read_credentials(kind, tmp_path / "file")
    assert found.keys() == keys
    assert SECRET in "".join(value.get_secret_value() for value in found.values())
    assert SECRET not in repr(found)


def test_a_value_is_taken_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f"{_S3}\naws_session_token = a=b%c;d#e\n")
    assert read_credentials("s3", tmp_path / "file")["aws_session_token"].get_secret_value() == "a=b%c;d#e"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("s3", ""),
        ("s3", SECRET),
        ("s3", f"aws_secret_access_key = {SECRET}"),
        ("s3", f"{_S3}\nrole_arn = {SECRET}"),
        ("s3", "aws_access_key_id =\naws_secret_access_key = x"),
        ("s3", f"[a]\n{_S3}\n[b]\n{_S3}"),
        ("s3", f"{_S3}\n{_S3}"),
        ("s3", f"{_S3}\nendpoint_url = ftp:{SECRET}"),
        ("s3", f"{_S3}\nregion = {SECRET}/"),
        ("s3", f"{_S3}\n  {SECRET}"),
        ("s3", f"[[\n{_S3}"),
        ("az", f"account_key = {SECRET}"),
        ("az", f"account_name = a\naccount_key = {SECRET}\nsas_token = {SECRET}"),
        ("gs", ""),
        ("gs", f'"{SECRET}"'),
        ("gs", f'{{"type": "authorized_user", "private_key": "{SECRET}"}}'),
        ("gs", '{"type": "service_account"}'),
    ],
)
def test_a_file_of_another_form_is_a_fault_that_shows_nothing_of_it(
    tmp_path: Path, kind: str, text: str
) -> None:
    (tenant_files(tmp_path, "clinic-a") / f"{kind}-credentials").write_text(text)
    (fault,) = tenant_faults(tmp_path)
    assert fault.startswith(f"clinic-a/{kind}-credentials: expected ")


def test_a_file_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    (tenant_files(tmp_path, "clinic-a") / "s3-credentials").write_bytes(b"\xff")
    assert tenant_faults(tmp_path) == ["clinic-a/s3-credentials: cannot be read (UnicodeDecodeError)"]


def test_credentials_are_read_again_each_time_and_are_in_no_text(tmp_path: Path) -> None:
    place = tenant_files(tmp_path, "clinic-a", s3_credentials=_S3)
    every = settings(tmp_path)
    own, tenant = every.tenants
    assert own.store_credentials("s3") is None
    assert tenant.store_credentials("gs") is None
    (place / "s3-credentials").write_text(_S3.replace("AKIA", "AKIA-NEXT"))
    found = tenant.store_credentials("s3")
    assert found is not None
    assert found["aws_access_key_id"].get_secret_value() == "AKIA-NEXT"
    for text in repr(every.tenants), tenant.model_dump_json(), repr(found):
        assert SECRET not in text
        assert "AKIA" not in text
