"""Audio from downloads: a real HTTP server that behaves well, and one that behaves badly."""

import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler

import pytest

from tests.contract.listening import BODY, SECRET, blocks, failure_of, opened, read
from tests.contract.web_host import Page, WebHost, answer
from worker.audio.source import Sources
from worker.audio.span import BLOCK_BYTES
from worker.contract.audio import Audio
from worker.contract.errors import JobError, PermanentError, TransientError


def chunked(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for at in range(0, len(BODY), 10_000):
        piece = BODY[at : at + 10_000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def without_length(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(BODY)
    handler.close_connection = True


@pytest.mark.parametrize(
    "page",
    [answer(200, BODY), chunked, without_length, answer(203, BODY)],
    ids=["whole", "chunked", "until closed", "by way of a proxy"],
)
def test_a_download_is_the_audio(host: WebHost, sources: Sources, page: Page) -> None:
    assert read(sources, host.add(f"/{SECRET}", page)) == BODY


def test_a_redirect_is_followed_and_the_type_kept(host: WebHost, sources: Sources) -> None:
    host.add("/there", answer(200, BODY, Content_Type="audio/ogg"))
    with opened(sources, Audio(uri=host.add("/here", answer(302, b"", Location="/there")))) as source:
        assert b"".join(blocks(source)) == BODY
        assert (source.media_type, source.at_hand) == ("audio/ogg", False)


_REFUSALS: dict[str, tuple[Page, type[JobError]]] = {
    **{str(status): (answer(status), PermanentError) for status in (204, 304, 400, 401, 403, 404, 410, 451)},
    **{str(status): (answer(status), TransientError) for status in (408, 425, 429, 500, 502, 503, 504)},
    "part": (answer(206, BODY), PermanentError),
    "redirect to nowhere": (answer(302, b"<html>moved"), PermanentError),
    "redirect in a circle": (answer(302, b"", Location=f"/{SECRET}"), PermanentError),
    "redirect to ftp": (answer(302, b"", Location=f"ftp://127.0.0.1/{SECRET}"), PermanentError),
    "redirect to a file": (answer(302, b"", Location="file:///etc/passwd"), PermanentError),
    "redirect to no URL": (answer(302, b"", Location="http://[/"), PermanentError),
    "broken compression": (answer(200, b"not gzip", Content_Encoding="gzip"), TransientError),
}


@pytest.mark.parametrize("refusal", _REFUSALS)
def test_each_refusal_of_a_download_has_its_meaning(host: WebHost, sources: Sources, refusal: str) -> None:
    page, kind = _REFUSALS[refusal]
    assert isinstance(failure_of(sources, host.add(f"/{SECRET}", page)), kind)


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_says_when_to_come_back(host: WebHost, sources: Sources, status: int) -> None:
    error = failure_of(sources, host.add(f"/{SECRET}", answer(status, Retry_After="7")))
    assert isinstance(error, TransientError)
    assert error.retry_after == 7.0


def test_a_server_that_is_not_there_is_worth_another_try(sources: Sources) -> None:
    assert isinstance(failure_of(sources, f"http://127.0.0.1:1/{SECRET}"), TransientError)


def test_a_port_that_cannot_be_is_refused_for_good(sources: Sources) -> None:
    assert isinstance(failure_of(sources, f"http://127.0.0.1:99999/{SECRET}"), PermanentError)


def broken_off(announced: int, sent: int, *, as_chunks: bool = False) -> Page:
    """The URL of a download that ends too soon."""

    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if as_chunks:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(announced))
        handler.end_headers()
        handler.wfile.write(b"%x\r\n" % announced if as_chunks else b"")
        handler.wfile.write(BODY[:sent])
        handler.close_connection = True

    return page


@pytest.mark.parametrize("sent", [0, 1, BLOCK_BYTES, 99_999])
@pytest.mark.parametrize("as_chunks", [False, True], ids=["length", "chunked"])
def test_a_download_that_breaks_off_is_never_taken_for_the_whole(
    host: WebHost, sources: Sources, sent: int, *, as_chunks: bool
) -> None:
    url = host.add(f"/{SECRET}", broken_off(100_000, sent, as_chunks=as_chunks))
    assert isinstance(failure_of(sources, url), TransientError)


@pytest.mark.parametrize("sent", [None, 0, 100_000], ids=["before the headers", "before the body", "within"])
def test_a_download_that_stands_still_is_given_up_in_time(
    host: WebHost, sources: Sources, sent: int | None
) -> None:
    over = threading.Event()

    def stalling(handler: BaseHTTPRequestHandler) -> None:
        if sent is not None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(BODY)))
            handler.end_headers()
            handler.wfile.write(BODY[:sent])
        over.wait(5)
        handler.close_connection = True

    assert isinstance(failure_of(sources, host.add(f"/{SECRET}", stalling)), TransientError)
    over.set()


def test_a_download_of_50_mb_is_never_in_memory_as_a_whole(host: WebHost, sources: Sources) -> None:
    megabyte, number, go_on = bytes(1_000_000), 50, threading.Event()

    def large(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(megabyte) * number))
        handler.end_headers()
        handler.wfile.write(megabyte)
        # Send no more until the reader has had a block: this shows that it has not read all first.
        go_on.wait(5)
        for _ in range(number - 1):
            handler.wfile.write(megabyte)

    tracemalloc.start()
    try:
        with opened(sources, Audio(uri=host.add("/large", large))) as source:
            size = 0
            for block in blocks(source):
                size += len(block)
                go_on.set()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == len(megabyte) * number
    assert peak < 4_000_000


def test_leaving_a_download_early_closes_its_connection(host: WebHost, sources: Sources) -> None:
    gone = threading.Event()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(BODY)
        except OSError:
            gone.set()
        handler.close_connection = True

    with opened(sources, Audio(uri=host.add("/endless", endless))) as source:
        assert source.read(1)
    assert gone.wait(5)


def test_a_download_that_was_read_to_its_end_leaves_its_connection_to_the_next(
    host: WebHost, sources: Sources
) -> None:
    peers = []

    def page(handler: BaseHTTPRequestHandler) -> None:
        peers.append(handler.client_address)
        answer(200, BODY)(handler)

    for _ in range(2):
        assert read(sources, host.add("/a", page)) == BODY
    assert peers[0] == peers[1]
