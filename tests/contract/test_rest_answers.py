"""How the REST adapter treats answers that the service's documentation does not describe."""

import json
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import trustme

from ops.sandbox.launch import Sandbox
from tests.contract.corti_side import CortiSide, as_token, corti_side, creation_failure, make_job
from tests.contract.web_host import WebHost, answer
from worker.contract.errors import Reason, TokenRefused, TransientError
from worker.corti.rest import http_session


@pytest.mark.parametrize(
    "body",
    [
        b"<html>nothing-of-this</html>",
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"interactionId": "nothing-of-this"}',
        b'{"interactionId": "1", "websocketUrl": "https://nothing-of-this.test/"}',
        b'{"interactionId": "1", "websocketUrl": "wss://[nothing-of-this/"}',
        b'{"interactionId": null, "websocketUrl": null}',
    ],
)
def test_an_answer_without_an_interaction_is_worth_another_try(
    host: WebHost, side: CortiSide, body: bytes
) -> None:
    host.add("/interactions/", answer(201, body, Content_Type="application/json"))
    error = creation_failure(side.interactions(api=host.url), as_token("opaque"))
    assert isinstance(error, TransientError)
    assert error.reason is Reason.UPSTREAM_UNAVAILABLE


def test_a_stream_url_in_clear_is_refused_when_the_api_is_not(sandbox: Sandbox, tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    body = b'{"interactionId": "1", "websocketUrl": "%s://127.0.0.1:1/streams"}'
    with WebHost(context) as host, corti_side(sandbox, ca_file=str(ca_file)) as side:
        host.add("/interactions/", answer(201, body % b"wss"))
        assert side.interactions(api=host.url).create(make_job(), as_token("opaque")).id == "1"
        host.add("/interactions/", answer(201, body % b"ws"))
        error = creation_failure(side.interactions(api=host.url), as_token("opaque"))
    assert "wss" in error.detail


def test_an_older_refusal_of_a_token_is_understood(host: WebHost, side: CortiSide) -> None:
    host.add("/interactions/", answer(403, b'{"type": "https://docs/A0004", "detail": "nothing-of-this"}'))
    assert isinstance(creation_failure(side.interactions(api=host.url), as_token("opaque")), TokenRefused)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("12", 12.0),
        (" 0 ", 0.0),
        ("1.5", None),
        ("-1", None),
        ("soon", None),
        ("\xb2", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_leniently(
    host: WebHost, side: CortiSide, value: str, seconds: float | None
) -> None:
    host.add("/interactions/", answer(503, b"", Retry_After=value))
    error = creation_failure(side.interactions(api=host.url), as_token("opaque"))
    assert isinstance(error, TransientError)
    assert error.retry_after == seconds


def test_retry_after_may_be_a_date(host: WebHost, side: CortiSide) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    host.add("/interactions/", answer(503, b"", Retry_After=later))
    error = creation_failure(side.interactions(api=host.url), as_token("opaque"))
    assert isinstance(error, TransientError)
    assert error.retry_after == pytest.approx(90, abs=5)


def test_a_redirect_is_not_followed_with_the_token(host: WebHost, side: CortiSide) -> None:
    host.add("/elsewhere", answer(201, b"{}"))
    host.add("/interactions/", answer(307, b"", Location="/elsewhere"))
    before = len(host.seen)
    creation_failure(side.interactions(api=host.url), as_token("opaque"))
    assert len(host.seen) == before + 1


def test_an_answer_that_breaks_off_is_worth_another_try(host: WebHost, side: CortiSide) -> None:
    def broken(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(201)
        handler.send_header("Content-Length", "500")
        handler.end_headers()
        handler.wfile.write(b'{"interactionId": ')
        handler.close_connection = True

    host.add("/interactions/", broken)
    assert isinstance(creation_failure(side.interactions(api=host.url), as_token("opaque")), TransientError)


def test_the_environments_proxy_is_asked_where_it_says_so(
    host: WebHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "http_proxy", "HTTP_PROXY":
        monkeypatch.setenv(name, host.url)
    for name in "no_proxy", "NO_PROXY":
        monkeypatch.setenv(name, "127.0.0.1")
    host.add("http://service.test/interactions/", answer(200, b"by way of the proxy"))
    host.add("/interactions/", answer(200, b"straight"))
    with http_session(None, 1) as session:
        assert session.get("http://service.test/interactions/").content == b"by way of the proxy"
        assert session.get(f"{host.url}/interactions/").content == b"straight"


OTHERS = (
    b'{"id": "0"}, {"id": "0", "encounter": null}, {"id": "0", "encounter": {}}, null, 7, '
    b'{"id": "0", "encounter": {"identifier": null}}, {"id": "0", "encounter": "e"}'
)


def test_an_interaction_is_found_among_others_of_any_kind(host: WebHost, side: CortiSide) -> None:
    job = make_job()
    mine = json.dumps(
        {
            "id": "1",
            "websocketUrl": "ws://127.0.0.1:1/",
            "encounter": {"identifier": job.encounter_identifier},
        }
    ).encode()
    page = "/interactions/?sort=createdAt&direction=desc&pageSize=100&index=1"
    host.add(page, answer(200, b'{"interactions": [' + OTHERS + b", " + mine + b"]}"))
    found = side.interactions(api=host.url).find(job, as_token("opaque"))
    assert found is not None
    assert found.id == "1"


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"interactions": {}}', b'{"interactions": null}'])
def test_a_malformed_list_of_interactions_is_worth_another_try(
    host: WebHost, side: CortiSide, body: bytes
) -> None:
    host.add("/interactions/?sort=createdAt&direction=desc&pageSize=100&index=1", answer(200, body))
    with pytest.raises(TransientError, match="no interactions"):
        side.interactions(api=host.url).find(make_job(), as_token("opaque"))
