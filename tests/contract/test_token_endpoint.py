"""The token endpoint: the fake, the sandbox over TLS, and servers that behave badly."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trustme
from structlog.testing import capture_logs

from ops.sandbox.launch import Sandbox
from tests.contract.corti_side import CortiSide, corti_side
from tests.contract.secrecy import assert_silent
from tests.contract.web_host import WebHost, answer
from tests.fakes import FakeEndpoint
from worker.contract.errors import JobError, Reason, TransientError
from worker.corti.rest.token_endpoint import ASSUMED_SECONDS
from worker.store.token_cache.cache import Endpoint


@pytest.fixture(params=["fake", "sandbox"])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    if request.param == "fake":
        return FakeEndpoint()
    side: CortiSide = request.getfixturevalue("side")
    return side.token_endpoint()


def test_each_request_gets_a_token_of_its_own(endpoint: Endpoint) -> None:
    grants = [endpoint.fetch() for _ in range(3)]
    assert len({grant.value for grant in grants}) == 3
    assert {grant.expires_in for grant in grants} == {300.0}


def test_the_token_is_shown_by_no_text(side: CortiSide) -> None:
    grant = side.token_endpoint().fetch()
    assert grant.value not in f"{grant} {grant!r} {side.token()!r}"


def test_a_wrong_secret_is_auth_rejected_and_worth_another_try(side: CortiSide) -> None:
    wrong = uuid4().hex
    with pytest.raises(TransientError) as failure:
        side.token_endpoint(secret=wrong).fetch()
    assert failure.value.reason is Reason.AUTH_REJECTED
    assert "CORTI_CLIENT_SECRET" in failure.value.detail
    assert_silent(failure.value, wrong)


def test_an_unknown_tenant_is_auth_rejected(side: CortiSide) -> None:
    with pytest.raises(TransientError) as failure:
        side.token_endpoint(url=side.token_url.replace("base", "nobody")).fetch()
    assert failure.value.reason is Reason.AUTH_REJECTED


@pytest.mark.parametrize(
    ("fault", "reason", "retry_after"),
    [
        ({"name": "auth_down"}, Reason.UPSTREAM_UNAVAILABLE, None),
        ({"name": "auth_down", "how": "cut"}, Reason.UPSTREAM_UNAVAILABLE, None),
        ({"name": "auth_error", "status": 500}, Reason.UPSTREAM_UNAVAILABLE, None),
        ({"name": "auth_error", "status": 503, "retry_after": 7}, Reason.UPSTREAM_UNAVAILABLE, 7.0),
        ({"name": "auth_error", "status": 429, "retry_after": 3}, Reason.RATE_LIMITED, 3.0),
        ({"name": "auth_error", "status": 403}, Reason.AUTH_REJECTED, None),
    ],
)
def test_a_broken_auth_server_is_worth_another_try(
    sandbox: Sandbox, side: CortiSide, fault: dict[str, Any], reason: Reason, retry_after: float | None
) -> None:
    sandbox.fault(**fault)
    with pytest.raises(TransientError) as failure:
        side.token_endpoint().fetch()
    assert (failure.value.reason, failure.value.retry_after) == (reason, retry_after)
    assert_silent(failure.value, sandbox.info.client_secret)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>It works!</html>",
        b"",
        b"\xff\xfe\x00",
        b"[]",
        b'"token"',
        b"null",
        b"{}",
        b'{"access_token": null, "expires_in": 300}',
        b'{"access_token": "", "expires_in": 300}',
        b'{"access_token": ["a"], "expires_in": 300}',
    ],
)
def test_an_answer_that_is_no_grant_is_worth_another_try(host: WebHost, side: CortiSide, body: bytes) -> None:
    url = host.add("/token", answer(200, body, Content_Type="application/json"))
    with pytest.raises(TransientError) as failure:
        side.token_endpoint(url=url).fetch()
    assert failure.value.reason is Reason.UPSTREAM_UNAVAILABLE
    assert_silent(failure.value, "opaque", "It works")


@pytest.mark.parametrize(
    ("expires_in", "seconds"), [("300", 300.0), (0, 0.0), (-1, -1.0), (0.5, 0.5), (86400, 86400.0)]
)
def test_any_number_of_seconds_is_taken_as_it_is(
    host: WebHost, side: CortiSide, expires_in: Any, seconds: float
) -> None:
    body = json.dumps({"access_token": "opaque", "expires_in": expires_in}).encode()
    grant = side.token_endpoint(url=host.add("/token", answer(200, body))).fetch()
    assert (grant.value, grant.expires_in) == ("opaque", seconds)


def test_a_redirect_is_not_followed_with_the_secret(host: WebHost, side: CortiSide) -> None:
    host.add("/elsewhere", answer(200, b'{"access_token": "stolen", "expires_in": 300}'))
    url = host.add("/token", answer(307, b"", Location="/elsewhere"))
    before = len(host.seen)
    with pytest.raises(JobError):
        side.token_endpoint(url=url).fetch()
    assert len(host.seen) == before + 1


def test_a_certificate_of_an_unknown_authority_is_refused_and_the_setting_named(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    with corti_side(sandbox, ca_file=str(stranger)) as side, pytest.raises(TransientError) as failure:
        side.token_endpoint().fetch()
    assert failure.value.reason is Reason.UPSTREAM_UNAVAILABLE
    assert "CORTI_CA_FILE" in failure.value.detail
    assert_silent(failure.value, sandbox.info.client_secret)


def test_the_setting_for_certificates_wins_over_the_environment(
    side: CortiSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(stranger))
    assert side.token_endpoint().fetch().value


@pytest.mark.parametrize(
    "expires_in", ["", ', "expires_in": null', ', "expires_in": "soon"', ', "expires_in": 1e999']
)
def test_a_token_without_a_lifetime_gets_a_short_one_and_one_warning(
    host: WebHost, side: CortiSide, expires_in: str
) -> None:
    """The field `expires_in` of an answer is optional (RFC 6749, section 5.1)."""
    url = host.add("/token", answer(200, f'{{"access_token": "opaque"{expires_in}}}'.encode()))
    endpoint = side.token_endpoint(url=url)
    with capture_logs() as logs:
        grants = [endpoint.fetch() for _ in range(3)]
    assert [(grant.value, grant.expires_in) for grant in grants] == [("opaque", ASSUMED_SECONDS)] * 3
    assert [entry["event"] for entry in logs] == ["token_without_expiry"]


def test_no_cookie_is_kept_or_sent(host: WebHost, side: CortiSide) -> None:
    """Tenants share HTTP sessions: a kept cookie of one tenant would go out with another's token request."""
    url = host.add(
        "/token", answer(200, b'{"access_token": "opaque", "expires_in": 300}', Set_Cookie="tenant=a")
    )
    endpoint = side.token_endpoint(url=url)
    for _ in range(2):
        endpoint.fetch()
    assert not [request for request in host.seen if "Cookie" in request]
