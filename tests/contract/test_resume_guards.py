"""A connection that a download goes on with is guarded like the first one."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.listening import BODY, SECRET, audio_sources, blocks, failure_of, opened, read
from tests.contract.range_pages import ends, giving, in_turn, sends_no_tls
from tests.contract.test_hostile_downloads import assert_forbidden, listen, resolving
from tests.contract.test_source_interrupts import FOR_EVER, all_of, interrupted
from tests.contract.web_host import Page, WebHost, answer
from worker.audio import span, speed
from worker.audio.source import Sources
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.errors import PermanentError, TransientError

AT = 100_000


def broken() -> Page:
    """A first answer that ends too soon."""
    return giving(BODY, breaks=ends, after=AT)


def moved(target: str) -> Page:
    return answer(302, b"", Location=target)


def test_each_request_begins_at_the_jobs_url_again(host: WebHost, sources: Sources) -> None:
    """What a URL redirects to may be signed for a minute."""
    host.add("/there", broken())
    host.add("/elsewhere", giving(BODY))
    assert read(sources, host.add("/a", in_turn(moved("/there"), moved("/elsewhere")))) == BODY
    assert [headers.get("Range") for headers in host.seen] == [None, None, f"bytes={AT}-", f"bytes={AT}-"]


@pytest.mark.parametrize("target", ["http://127.0.0.2/a", "http://[::1]/a", "http://inside.example/a"])
def test_a_redirect_on_the_way_to_the_rest_leads_nowhere_else(host: WebHost, target: str) -> None:
    host.add("/there", broken())
    url = host.add(f"/{SECRET}", in_turn(moved("/there"), moved(target)))
    with audio_sources(resolve=resolving("127.0.0.3")) as sources:
        assert_forbidden(failure_of(sources, url))


def test_a_name_that_means_another_host_by_now_is_not_followed_there(host: WebHost) -> None:
    answers = [["127.0.0.1"], ["127.0.0.2"]]

    def resolve(_: str, port: int, family: int, kind: int) -> list[Any]:
        address = (answers.pop(0) if len(answers) > 1 else answers[0])[0]
        return resolving(address)("a.example", port, family, kind)  # type: ignore[no-any-return]

    host.add("/a", broken())
    with audio_sources(hosts="127.0.0.1", resolve=resolve) as sources:
        assert_forbidden(failure_of(sources, f"http://a.example:{host.url.rpartition(':')[2]}/a"))
    assert len(host.seen) == 1


def test_a_redirect_does_not_lead_from_encryption_to_none_later(host: WebHost) -> None:
    plain = host.add("/a", giving(BODY))
    with secure_host() as (secure, context), audio_sources(context=context, timeout=5.0) as sources:
        secure.add("/there", broken())
        error = failure_of(sources, secure.add(f"/{SECRET}", in_turn(moved("/there"), moved(plain))))
    assert isinstance(error, PermanentError)
    assert "https to http" in error.detail
    assert not host.seen


@contextmanager
def secure_host() -> Iterator[tuple[WebHost, ssl.SSLContext]]:
    """A server with TLS, and a context that trusts it."""
    authority = trustme.CA()
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusting)
    with WebHost(served) as host:
        yield host, trusting


@pytest.mark.parametrize("breaks", [ends, sends_no_tls])
def test_a_download_over_tls_goes_on_over_tls(breaks: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with secure_host() as (secure, context), audio_sources(context=context, timeout=5.0) as sources:
        assert read(sources, secure.add("/a", giving(BODY, breaks=breaks, after=AT, times=1))) == BODY
        assert len(secure.seen) == 2


def test_neither_passwords_nor_cookies_are_sent_later(
    host: WebHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ada password lovelace\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    page = giving(BODY, breaks=ends, after=AT, times=1, Set_Cookie="tenant=one; Path=/")
    with audio_sources() as sources:
        assert read(sources, host.add("/a", page)) == BODY
    assert len(host.seen) == 2
    assert not any({"Authorization", "Cookie"} & headers.keys() for headers in host.seen)


def late(page: Page, seconds: float) -> Page:
    """A page that lets one wait for it."""

    def waiting(handler: BaseHTTPRequestHandler) -> None:
        threading.Event().wait(seconds)
        page(handler)

    return waiting


@pytest.fixture
def quick_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute, in the time of a test."""
    monkeypatch.setattr(speed, "WINDOW", 1.0)
    monkeypatch.setattr(speed, "_GRAIN", 0.05)


@pytest.mark.usefixtures("quick_window")
def test_waiting_for_answers_counts_for_the_speed(host: WebHost) -> None:
    """Each answer brings a twelfth of a second of audio, and takes a fifth."""
    audio = bytes(16_384 * 16)
    url = host.add("/a", late(giving(audio, breaks=ends, after=16_384), 0.2))
    with (
        audio_sources(timeout=5.0, least_speed=1.0) as sources,
        pytest.raises(TransientError, match="CORTI_WORKER_DOWNLOAD_MIN_SPEED"),
    ):
        listen(sources, url, "audio/pcm; rate=48000; channels=2; bits=16")
    assert len(host.seen) > 2


@pytest.mark.usefixtures("quick_window")
def test_pauses_count_for_the_speed(host: WebHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span, "PAUSES", (0.0, 0.6, 0.6, 0.6, 0.6))
    error_pages = in_turn(giving(BODY, breaks=ends, after=AT), answer(503))
    with audio_sources(least_speed=1.0) as sources:
        error = failure_of(sources, host.add(f"/{SECRET}", error_pages))
    assert "CORTI_WORKER_DOWNLOAD_MIN_SPEED" in error.detail


def test_a_server_that_drips_its_later_headers_is_given_up_in_time(
    host: WebHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span, "PAUSES", (0.0,))

    def dripping(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 206 Part\r\nX-Long: ")
        try:
            for _ in range(60):
                threading.Event().wait(0.05)
                handler.wfile.write(b"x")
        except OSError:
            pass

    began = time.monotonic()
    with audio_sources(timeout=0.5) as sources:
        error = failure_of(sources, host.add(f"/{SECRET}", in_turn(broken(), dripping)))
    assert "did not answer in time" in error.detail
    assert time.monotonic() - began < 2


def silence(handler: BaseHTTPRequestHandler) -> None:
    threading.Event().wait(3)
    handler.close_connection = True


@pytest.mark.parametrize("then", [answer(503), silence], ids=["in a pause", "waiting for the answer"])
def test_an_interrupt_ends_going_on(host: WebHost, monkeypatch: pytest.MonkeyPatch, then: Page) -> None:
    monkeypatch.setattr(span, "PAUSES", (0.0, FOR_EVER))
    asked = threading.Event()

    def told(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        then(handler)

    with (
        audio_sources(timeout=FOR_EVER, least_speed=0.0) as sources,
        interrupted(all_of(sources, host.add("/a", in_turn(broken(), told))), lambda: asked.wait(5)),
    ):
        pass


def test_no_connection_stays_open_after_a_download_that_went_on(host: WebHost, sources: Sources) -> None:
    gone = threading.Event()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        giving(BODY, breaks=lambda _: None, after=len(BODY) - AT - 1)(handler)
        handler.connection.settimeout(5)
        with suppress(ConnectionError):  # what was sent and not read makes the other side's end an abrupt one
            assert handler.connection.recv(1) == b""
        gone.set()
        handler.close_connection = True

    url = host.add("/a", in_turn(broken(), endless))
    with opened(sources, Audio(uri=url), Interrupt()) as source:
        for _, block in zip(range(40), blocks(source), strict=False):
            assert block
    assert gone.wait(5)
