"""Downloads from forbidden addresses, and servers that stall a worker or send it too much."""

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.listening import BODY, SECRET, audio_sources, blocks, failure_of, opened, read
from tests.contract.raw_host import RawHost, raw_host
from tests.contract.web_host import WebHost, answer
from tests.unit.audio.reading import job_of, library_of
from worker.audio import speed
from worker.audio.requesting import MOST_REDIRECTS
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.errors import JobError, PermanentError, TransientError


def resolving(*addresses: str) -> Any:
    """A resolver that answers every name with these addresses, and an address with itself."""

    def resolve(host: str, port: int, family: int, kind: int) -> list[Any]:
        if not host.endswith(".example"):
            return socket.getaddrinfo(host, port, family, kind)
        return [(socket.AF_INET, kind, 6, "", (address, port)) for address in addresses]

    return resolve


def assert_forbidden(error: JobError) -> None:
    assert isinstance(error, PermanentError)
    assert "CORTI_WORKER_AUDIO_HOSTS" in error.detail
    assert "example" not in str(error)


def test_no_job_uses_a_password_that_lies_in_the_workers_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a URL in a job, or a redirect from it, could choose which password of .netrc is sent."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ada password lovelace\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with WebHost() as host, audio_sources() as sources:
        host.pages["/a"] = answer(200, BODY)
        assert read(sources, f"{host.url}/a") == BODY
        assert all("authorization" not in {name.lower() for name in one} for one in host.seen)
        assert len(host.seen) == 1


def port_of(host: WebHost) -> int:
    return int(host.url.rpartition(":")[2])


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1",
        "LOCALHOST",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "inside.example",
    ],
)
def test_our_own_network_is_not_asked_however_its_address_is_written(host: WebHost, name: str) -> None:
    host.add(f"/{SECRET}", answer(200, BODY))
    with audio_sources(hosts=None, resolve=resolving("127.0.0.1")) as sources:
        assert_forbidden(failure_of(sources, f"http://{name}:{port_of(host)}/{SECRET}"))
    assert not host.seen


def test_a_listed_name_may_lie_in_our_own_network(host: WebHost) -> None:
    host.add("/a", answer(200, BODY))
    with audio_sources(hosts="*.clinic.example", resolve=resolving("127.0.0.1")) as sources:
        assert read(sources, f"http://store.clinic.example:{port_of(host)}/a") == BODY
        assert_forbidden(failure_of(sources, f"http://store.example:{port_of(host)}/a"))
        assert_forbidden(failure_of(sources, f"{host.url}/a"))


def test_of_a_names_addresses_only_those_are_tried_that_are_allowed(host: WebHost) -> None:
    host.add("/a", answer(200, BODY))
    asked = threading.Event()

    def accept(listening: socket.socket) -> None:
        listening.accept()[0].close()
        asked.set()

    with (
        socket.create_server(("127.0.0.2", port_of(host))) as other,
        audio_sources(resolve=resolving("127.0.0.2", "127.0.0.1")) as sources,
    ):
        threading.Thread(target=accept, args=(other,), daemon=True).start()
        assert read(sources, f"http://both.example:{port_of(host)}/a") == BODY
        assert not asked.is_set()
        socket.create_connection(("127.0.0.2", port_of(host))).close()
        assert asked.wait(5)


def test_of_several_addresses_one_that_answers_is_enough(host: WebHost) -> None:
    host.add("/a", answer(200, BODY))
    with audio_sources(hosts="127.0.0.0/8", resolve=resolving("127.0.0.9", "127.0.0.1")) as sources:
        assert read(sources, f"http://both.example:{port_of(host)}/a") == BODY


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2/a",
        "http://169.254.0.1/a",
        "http://[::1]/a",
        "http://10.0.0.1/a",
        "//127.0.0.4/a",
        "http://inside.example/a",
        "https://192.168.0.1/a",
    ],
)
def test_a_redirect_leads_only_where_the_first_request_might_have_gone(host: WebHost, target: str) -> None:
    url = host.add(f"/{SECRET}", answer(302, b"", Location=target))
    with audio_sources(resolve=resolving("127.0.0.3")) as sources:
        assert_forbidden(failure_of(sources, url))


def test_a_redirect_to_another_listed_host_is_followed(host: WebHost) -> None:
    host.add("/there", answer(200, BODY))
    with audio_sources(hosts="127.0.0.1,store.example", resolve=resolving("127.0.0.1")) as sources:
        target = f"http://store.example:{port_of(host)}/there"
        assert read(sources, host.add("/here", answer(307, b"", Location=target))) == BODY


def test_redirects_are_followed_a_few_times_and_no_more(host: WebHost) -> None:
    host.add("/0", answer(200, BODY))
    for number in range(1, MOST_REDIRECTS + 2):
        host.add(f"/{number}", answer(302, b"", Location=f"/{number - 1}"))
    with audio_sources() as sources:
        assert read(sources, f"{host.url}/{MOST_REDIRECTS}") == BODY
        assert isinstance(failure_of(sources, f"{host.url}/{MOST_REDIRECTS + 1}"), PermanentError)


def test_the_body_of_a_redirect_is_not_waited_for(host: WebHost) -> None:
    host.add("/there", answer(200, BODY))

    def stalling(raw: RawHost, peer: socket.socket) -> None:
        peer.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: %s/there\r\nContent-Length: 9\r\n\r\n" % host.url.encode()
        )
        raw.over.wait(60)

    with raw_host(stalling) as raw, audio_sources(timeout=60.0) as sources:
        assert read(sources, raw.url()) == BODY


def test_no_cookie_is_sent_to_anybody(host: WebHost) -> None:
    cookie = "tenant=one; Path=/"
    host.add("/there", answer(200, BODY, Set_Cookie=cookie))
    url = host.add("/here", answer(302, b"", Location="/there", Set_Cookie=cookie))
    with audio_sources() as sources:
        for _ in range(2):
            assert read(sources, url) == BODY
    assert len(host.seen) == 4
    assert not any("Cookie" in headers for headers in host.seen)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[WebHost]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "store.example").configure_cert(context)
    with WebHost(context) as host:
        yield host


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_a_download_over_tls_is_checked_against_the_name_that_was_asked_for(
    secure: WebHost, authority: trustme.CA
) -> None:
    secure.add("/a", answer(200, BODY))
    secure.add("/b", answer(200, BODY))
    listed = {"hosts": "127.0.0.1,*.example", "resolve": resolving("127.0.0.1"), "timeout": 5.0}
    with audio_sources(context=trusting(authority), **listed) as sources:
        for name in "127.0.0.1", "store.example", "store.example":
            assert read(sources, f"https://{name}:{port_of(secure)}/a") == BODY
        wrong = failure_of(sources, f"https://other.example:{port_of(secure)}/a")
    with audio_sources(**listed) as sources:
        unknown = failure_of(sources, f"https://store.example:{port_of(secure)}/a")
    for error in wrong, unknown:
        assert isinstance(error, TransientError)
        assert "TLS to the audio's server failed" in error.detail


def test_a_redirect_does_not_lead_from_encryption_to_none(
    host: WebHost, secure: WebHost, authority: trustme.CA
) -> None:
    target = host.add("/a", answer(200, BODY))
    url = secure.add(f"/{SECRET}", answer(302, b"", Location=target))
    with audio_sources(context=trusting(authority), timeout=5.0) as sources:
        error = failure_of(sources, url)
    assert isinstance(error, PermanentError)
    assert "https to http" in error.detail
    assert not host.seen


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    try:
        while True:
            handler.wfile.write(BODY)
    except OSError:
        pass


def announced(handler: BaseHTTPRequestHandler) -> None:
    """Announce the length of the body, and send none of it."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000001")
    handler.end_headers()
    handler.rfile.read(1)
    handler.close_connection = True


_LARGE = {
    "announced": announced,
    "not announced": endless,
    "compressed": answer(200, gzip.compress(bytes(50_000_000)), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("page", _LARGE)
def test_a_download_beyond_the_limit_is_refused_for_good(host: WebHost, page: str) -> None:
    with audio_sources(max_bytes=1_000_000) as sources:
        error = failure_of(sources, host.add(f"/{SECRET}", _LARGE[page]))
    assert isinstance(error, PermanentError)
    assert error.reason == "audio_too_large"
    assert "CORTI_WORKER_DOWNLOAD_MAX_BYTES" in error.detail


def test_a_download_of_just_the_limit_is_read(host: WebHost) -> None:
    with audio_sources(max_bytes=len(BODY)) as sources:
        assert read(sources, host.add("/a", answer(200, BODY))) == BODY


def listen(sources: Any, url: str, media_type: str = "audio/pcm; rate=16000; channels=1; bits=16") -> float:
    """Seconds of audio at a URL, as the library tells them."""
    library = library_of(sources, max_seconds=3600)
    audio = job_of(Audio(uri=url, media_type=media_type))
    with library.open(audio, Interrupt()) as recording:
        return sum(chunk.seconds for chunk in recording.chunks())


@pytest.fixture
def quick_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the half minute in which a download's speed is measured."""
    monkeypatch.setattr(speed, "WINDOW", 1.0)
    monkeypatch.setattr(speed, "_GRAIN", 0.05)


@pytest.mark.usefixtures("quick_window")
@pytest.mark.parametrize("first", [0, 8000, 64_000], ids=["from the start", "after a chunk", "after some"])
def test_a_server_that_drips_is_left(first: int) -> None:
    def dripping(raw: RawHost, peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(first))
        raw.drip(peer, 0.02)

    with (
        raw_host(dripping) as raw,
        audio_sources(timeout=600.0) as sources,
        pytest.raises(TransientError) as failure,
    ):
        listen(sources, raw.url())
    assert failure.value.reason == "audio_unreachable"
    assert "CORTI_WORKER_DOWNLOAD_MIN_SPEED" in failure.value.detail


@pytest.mark.usefixtures("quick_window")
def test_a_server_that_is_slow_but_fast_enough_is_read_to_the_end() -> None:
    def slow(raw: RawHost, peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 96000\r\n\r\n")
        for _ in range(12):
            raw.over.wait(0.2)
            peer.sendall(bytes(8000))

    with raw_host(slow) as raw, audio_sources(timeout=600.0) as sources:
        assert listen(sources, raw.url()) == 3.0


@pytest.mark.parametrize("chunked", [False, True])
def test_bytes_that_have_arrived_are_read_before_a_block_is_full(*, chunked: bool) -> None:
    """A block holds seconds of compressed audio: if reads waited for it, a slow server would look stalled."""
    had = threading.Event()

    def in_two(raw: RawHost, peer: socket.socket) -> None:
        halves = [b"3e8\r\n" + bytes(1000) + b"\r\n", b"3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n"]
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 2000"
        peer.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n" + (halves[0] if chunked else bytes(1000)))
        if had.wait(5):
            peer.sendall(halves[1] if chunked else bytes(1000))

    with (
        raw_host(in_two) as raw,
        audio_sources(timeout=2.0) as sources,
        opened(sources, Audio(uri=raw.url())) as source,
    ):
        first = source.read(5000)
        had.set()
        assert len(first) == 1000
        assert sum(len(block) for block in blocks(source)) == 1000


def test_a_server_that_drips_its_headers_is_given_up_in_time() -> None:
    def dripping(raw: RawHost, peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        raw.drip(peer, 0.02, b"x")

    with raw_host(dripping) as raw, audio_sources(timeout=0.5) as sources:
        assert isinstance(failure_of(sources, raw.url()), TransientError)


@pytest.fixture
def proxy(host: WebHost, monkeypatch: pytest.MonkeyPatch) -> WebHost:
    """Set the HTTP server as the proxy in the environment; clients ask a proxy for whole URLs."""
    for name in "http_proxy", "HTTP_PROXY":
        monkeypatch.setenv(name, host.url)
    for name in "no_proxy", "NO_PROXY":
        monkeypatch.delenv(name, raising=False)
    return host


def test_a_proxy_of_the_environment_is_used_wherever_it_is_and_resolves_names(proxy: WebHost) -> None:
    proxy.pages["http://store.clinic.example/a"] = answer(200, BODY)
    with audio_sources(hosts=None, resolve=resolving()) as sources:
        assert read(sources, "http://store.clinic.example/a") == BODY


@pytest.mark.parametrize("name", ["10.0.0.1", "[::1]", "localhost", "printer", "127.1", "169.254.0.1"])
def test_a_proxy_is_not_asked_for_what_is_not_public(proxy: WebHost, name: str) -> None:
    with audio_sources(hosts=None) as sources:
        assert_forbidden(failure_of(sources, f"http://{name}/{SECRET}"))
    assert not proxy.seen


def test_a_proxy_is_asked_only_for_hosts_that_are_listed(proxy: WebHost, root: Path) -> None:
    proxy.pages["http://store.example/a"] = answer(200, BODY)
    with audio_sources(root, hosts="store.example") as sources:
        assert read(sources, "http://store.example/a") == BODY
        assert_forbidden(failure_of(sources, "http://other.clinic.example/a"))
    assert len(proxy.seen) == 1
