"""Which tenant reads which object, with whose credentials, and over which connection."""

import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.bucket import KEY, in_ranges, in_turn, objects, refusal
from tests.contract.listening import BODY, SECRET, failure_of, read
from tests.contract.web_host import WebHost
from tests.unit.audio.reading import job_of
from tests.unit.environment import NEEDED
from tests.unit.settings.test_tenants_dir import tenant_files
from worker.audio.library import Library
from worker.clock import SystemClock
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.errors import JobError, PermanentError, TransientError
from worker.process.audio_side import AudioSide
from worker.settings import load

pytestmark = pytest.mark.usefixtures("no_cloud")

_URI = f"s3://visits/{SECRET}.wav"
_PATH = f"/visits/{SECRET}.wav"
_S3 = "aws_access_key_id = AKIA-{}\naws_secret_access_key = s3cret-Zebedee\n"


@contextmanager
def libraries(tenants: Path, **settings: str) -> Iterator[dict[str, Library]]:
    """Each tenant's library of audio, as a worker makes it."""
    names = {f"CORTI_WORKER_{name}": value for name, value in settings.items()}
    loaded = load({**NEEDED, "CORTI_WORKER_TENANTS_DIR": str(tenants), **names})
    with ExitStack() as stack:
        side = AudioSide(loaded, SystemClock(), stack)
        yield {tenant.name: side.library(tenant) for tenant in loaded.tenants}


def heard(library: Library, uri: str) -> bytes:
    """What a job of the library's tenant would send."""
    audio = Audio(uri=uri, media_type="audio/pcm; rate=16000; channels=1; bits=16")
    with library.open(job_of(audio), Interrupt()) as opened:
        return b"".join(chunk.data for chunk in opened.chunks())


def refused(library: Library, uri: str, kind: type[JobError] = PermanentError) -> str:
    with pytest.raises(kind) as failure:
        heard(library, uri)
    assert failure.value.reason == "audio_unreachable"
    return failure.value.detail


def keys_of(host: WebHost) -> list[str]:
    """The keys that requests were signed with."""
    return [one["authorization"].partition("Credential=")[2].partition("/")[0] for one in host.seen]


def test_each_tenant_reads_its_own_buckets_with_its_own_key_and_no_other(
    host: WebHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-WORKER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of the worker's key")
    for path in "/visits/a/x", "/visits/b/x", "/own/x":
        host.add(path, in_ranges(path.encode() * 1000))
    tenant_files(tmp_path, "clinic-a", audio_buckets="s3://visits/a/", s3_credentials=_S3.format("A"))
    tenant_files(tmp_path, "clinic-b", audio_buckets="s3://visits/b/", s3_credentials=_S3.format("B"))
    tenant_files(tmp_path, "clinic-c")
    tenant_files(tmp_path, "clinic-d", audio_buckets="s3://visits/a/")
    with libraries(tmp_path, AUDIO_BUCKETS="s3://own", S3_ENDPOINT=host.url, S3_ALLOW_HTTP="true") as library:
        assert heard(library["clinic-a"], "s3://visits/a/x") == b"/visits/a/x" * 1000
        assert heard(library["clinic-b"], "s3://visits/b/x") == b"/visits/b/x" * 1000
        assert [("x-amz-security-token" in one) for one in host.seen] == [False, False]
        assert heard(library["base"], "s3://own/x") == b"/own/x" * 1000
        assert heard(library["clinic-d"], "s3://visits/a/x") == b"/visits/a/x" * 1000
        assert keys_of(host) == ["AKIA-A", "AKIA-B", "AKIA-WORKER", "AKIA-WORKER"]
        assert [one.get("x-amz-security-token") for one in host.seen[2:]] == ["of the worker's key"] * 2
        for name, uri in (
            ("clinic-a", "s3://visits/b/x"),
            ("clinic-b", "s3://visits/a/x"),
            ("clinic-a", "s3://own/x"),
            ("base", "s3://visits/a/x"),
            ("clinic-a", "gs://visits/a/x"),
        ):
            text = refused(library[name], uri)
            assert "CORTI_WORKER_AUDIO_BUCKETS" in text
            assert "audio-buckets" in text
            assert "visits" not in text
        assert "set CORTI_WORKER_AUDIO_BUCKETS" in refused(library["clinic-c"], "s3://own/x")
        assert len(host.seen) == 4


def test_tenants_share_all_that_costs_memory(tmp_path: Path) -> None:
    for name in "clinic-a", "clinic-b":
        tenant_files(tmp_path, name, audio_buckets="s3://visits")
    with libraries(tmp_path) as library:
        first, second = library["clinic-a"]._sources, library["clinic-b"]._sources
        assert first._downloads is second._downloads
        opened: list[Any] = [first._open_object, second._open_object]
        assert opened[0].func.__self__ is opened[1].func.__self__
        assert library["base"]._sources._open_object is None


@pytest.mark.parametrize(
    "key",
    ["../others/x", "a/../../x", "%2e%2e/x", "a//x", "", "a/", "/x", ".", "a?x", "a#x", "..\\x", "a\nb"],
)
def test_a_key_that_can_be_understood_in_two_ways_is_not_asked_for(host: WebHost, key: str) -> None:
    with objects(host.url) as sources:
        error = failure_of(sources, f"s3://visits/{key}")
    assert isinstance(error, PermanentError)
    assert "audio.uri is no address of an object" in error.detail
    assert host.seen == []


def test_credentials_that_were_renewed_are_used_at_the_next_attempt(host: WebHost, tmp_path: Path) -> None:
    host.add("/visits/x", in_turn(refusal(400, "ExpiredToken"), in_ranges(BODY)))
    place = tenant_files(
        tmp_path,
        "clinic-a",
        audio_buckets="s3://visits",
        s3_credentials=f"[default]\n{_S3.format('OLD')}aws_session_token = old\nendpoint_url = {host.url}\n",
    )
    with libraries(tmp_path, S3_ALLOW_HTTP="true") as library:
        assert "have expired: renew" in refused(library["clinic-a"], "s3://visits/x", TransientError)
        for broken in "", "aws_access_key_id", "[a]\n[b]":
            (place / "s3-credentials").write_text(broken)
            assert "mend it" in refused(library["clinic-a"], "s3://visits/x", TransientError)
        (place / "s3-credentials").unlink()
        refused(library["clinic-a"], "s3://visits/x", TransientError)
        (place / "s3-credentials").write_text(f"{_S3.format('NEW')}endpoint_url = {host.url}\n")
        assert heard(library["clinic-a"], "s3://visits/x") == BODY
    assert keys_of(host) == ["AKIA-OLD", "AKIA-NEW", "AKIA-NEW"]
    assert [one.get("x-amz-security-token") for one in host.seen] == ["old", None, None]


def google_key(host: WebHost, **changes: Any) -> str:
    """A service account's key for a server of the test's own, which asks for no token."""
    key = {"type": "service_account", "private_key": "-", "private_key_id": "-", "client_email": "-"}
    return json.dumps({**key, "gcs_base_url": host.url, "disable_oauth": True, **changes})


def test_google_and_azure_are_read_with_the_tenants_files(
    host: WebHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_ENDPOINT", f"{host.url}/clinic")  # by default the account's own name
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "b2Y=")
    host.add("/visits/a%2F1", in_ranges(b"of Google " * 400))
    host.add("/clinic/visits/a/1", in_ranges(b"of Azure" * 400))
    tenant_files(
        tmp_path,
        "clinic-a",
        audio_buckets="gs://visits/a/, az://visits/a/",
        gs_credentials=google_key(host),
        az_credentials="account_name = clinic\naccount_key = b3Vycw==",
    )
    with libraries(tmp_path, S3_ALLOW_HTTP="true") as library:
        assert heard(library["clinic-a"], "gs://visits/a/1") == b"of Google " * 400
        for scheme in "az", "abfs", "abfss":
            assert heard(library["clinic-a"], f"{scheme}://visits/a/1") == b"of Azure" * 400
        for uri in "gs://visits/b/1", "az://visits/b/1", "az://visits@clinic.dfs.core.windows.net/a/1":
            assert "outside of the tenant's buckets" in refused(library["clinic-a"], uri)
    assert [one.get("authorization", "").partition(":")[0] for one in host.seen] == [
        "",
        *["SharedKey clinic"] * 3,
    ]


def test_a_key_of_google_that_is_broken_is_said_to_be(host: WebHost) -> None:
    broken = {"service_account_key": google_key(host, disable_oauth=False)}
    with objects(None, key=broken, buckets="gs://visits") as sources:
        error = failure_of(sources, f"gs://visits/{SECRET}")
    assert isinstance(error, TransientError)
    assert "not of its form: mend it" in error.detail


@pytest.mark.parametrize(
    ("bucket", "variables"),
    [
        ("s3://visits", {}),
        ("s3://visits", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere", "AWS_ROLE_ARN": "arn:aws:iam::1:role/a"}),
        ("az://visits", {}),
    ],
    ids=["no role of the instance", "no token of the identity", "no account"],
)
def test_a_worker_without_any_credentials_says_so(
    host: WebHost, monkeypatch: pytest.MonkeyPatch, bucket: str, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with objects(host.url, key=None, buckets=bucket, timeout=1.0) as sources:
        error = failure_of(sources, f"{bucket}/{SECRET}")
    assert isinstance(error, TransientError)
    assert "no credentials for the object store" in error.detail
    assert host.seen == []


def test_the_server_and_region_are_the_settings_and_not_the_environments(
    host: WebHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT":
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "us-west-1")
    host.add("/visits/x", in_ranges(BODY[:6400]))
    tenant_files(tmp_path, "a", audio_buckets="s3://visits", s3_credentials=_S3.format("A"))
    own = f"{_S3.format('B')}region = eu-north-1\n"
    tenant_files(tmp_path, "b", audio_buckets="s3://visits", s3_credentials=own)
    with libraries(tmp_path, S3_ENDPOINT=host.url, S3_ALLOW_HTTP="true", S3_REGION="eu-central-1") as library:
        heard(library["a"], "s3://visits/x")
        heard(library["b"], "s3://visits/x")
    assert [one["authorization"].split("/")[2] for one in host.seen] == ["eu-central-1", "eu-north-1"]


def test_without_leave_no_store_is_asked_without_tls(host: WebHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    host.add(_PATH, in_ranges(BODY))
    with objects(host.url, allow_http=False, timeout=1.0) as sources:
        error = failure_of(sources, _URI)
    assert isinstance(error, PermanentError)
    assert "CORTI_WORKER_S3_ALLOW_HTTP" in error.detail
    assert host.seen == []


def test_a_private_authority_is_trusted_where_it_is_named_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ALLOW_INVALID_CERTIFICATES", "true")
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    with WebHost(context) as host:
        host.add(_PATH, in_ranges(BODY))
        with objects(host.url, ca_file=tmp_path / "ca.pem", allow_http=False) as sources:
            assert read(sources, _URI) == BODY
        with objects(host.url, timeout=1.0) as sources:
            error = failure_of(sources, _URI)
    assert isinstance(error, TransientError)
    assert "CORTI_WORKER_S3_CA_FILE" in error.detail


def test_a_redirect_does_not_lead_to_clear_text(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())

    with WebHost(context) as host, WebHost() as plain:
        plain.add("/x", in_ranges(BODY))

        def away(handler: Any) -> None:
            handler.send_response(307)
            handler.send_header("Location", f"{plain.url}/x")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        host.add(_PATH, away)
        with objects(host.url, ca_file=tmp_path / "ca.pem", allow_http=False, timeout=1.0) as sources:
            failure_of(sources, _URI)
        assert plain.seen == []


def test_no_error_holds_a_secret(host: WebHost) -> None:
    host.add(_PATH, refusal(403, "SignatureDoesNotMatch"))
    with objects(host.url, timeout=1.0) as sources:
        text = repr(failure_of(sources, _URI))
    assert not any(value in text for value in KEY.values())
