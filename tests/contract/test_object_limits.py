"""Object stores that stall, drip or hold too much: waiting can be interrupted, and memory stays flat."""

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.contract.bucket import DATE, asked, begin_part, in_ranges, in_turn, objects
from tests.contract.listening import BODY, SECRET, blocks, failure_of, opened, read
from tests.contract.raw_host import RawHost, deaf_port, raw_host
from tests.contract.test_hostile_downloads import listen, quick_window
from tests.contract.test_source_interrupts import FOR_EVER, all_of, interrupted, silence
from tests.contract.web_host import Page, WebHost
from worker.audio.object_version import RANGE_BYTES
from worker.concurrency.interrupt import Interrupt, Interrupted, InterruptReason
from worker.contract.audio import Audio
from worker.contract.errors import PermanentError, TransientError

pytestmark = pytest.mark.usefixtures("no_cloud")
__all__ = ["quick_window"]  # a fixture

_URI = f"s3://visits/{SECRET}.wav"
_PATH = f"/visits/{SECRET}.wav"
_MB = 1_000_000
_FORGET = Path("/proc/self/clear_refs")


def head(size: int, length: int = RANGE_BYTES) -> bytes:
    """Headers of the first range of an object."""
    return (
        f'HTTP/1.1 206 Partial Content\r\nETag: "one"\r\nLast-Modified: {DATE}\r\n'
        f"Content-Range: bytes 0-{length - 1}/{size}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def half_of_the_headers(host: RawHost, peer: socket.socket) -> None:
    peer.sendall(head(_MB)[:20])
    host.over.wait(60)


def headers_alone(host: RawHost, peer: socket.socket) -> None:
    peer.sendall(head(_MB))
    host.over.wait(60)


def a_stalling_body(host: RawHost, peer: socket.socket) -> None:
    peer.sendall(head(_MB) + bytes(70_000))
    host.over.wait(60)


def a_dripping_body(host: RawHost, peer: socket.socket) -> None:
    peer.sendall(head(_MB) + bytes(100))
    host.drip(peer, 0.05)


Serve = Callable[[RawHost, socket.socket], None]


@pytest.mark.parametrize(
    "serve", [silence, half_of_the_headers, headers_alone, a_stalling_body, a_dripping_body]
)
def test_an_object_is_left_wherever_its_store_stalls(serve: Serve) -> None:
    with (
        raw_host(serve) as host,
        objects(f"http://127.0.0.1:{host.port}", timeout=FOR_EVER) as sources,
        interrupted(all_of(sources, _URI), lambda: host.asked.wait(5)),
    ):
        pass


def test_a_connection_to_a_store_that_is_neither_made_nor_refused_is_left() -> None:
    with (
        deaf_port() as port,
        objects(f"http://127.0.0.1:{port}", timeout=FOR_EVER) as sources,
        interrupted(all_of(sources, _URI), lambda: None),
    ):
        pass


def test_a_read_at_an_offset_is_left_too(host: WebHost) -> None:
    asked_again, over = threading.Event(), threading.Event()

    def stalls(handler: BaseHTTPRequestHandler) -> None:
        asked_again.set()
        over.wait(60)

    host.add(_PATH, in_turn(in_ranges(BODY), stalls))
    with objects(host.url, timeout=FOR_EVER) as sources:

        def look(interrupt: Interrupt) -> None:
            with opened(sources, Audio(uri=_URI), interrupt) as source:
                assert source.read_at is not None
                source.read_at(5, 5)

        with interrupted(look, lambda: asked_again.wait(5)):
            over.set()


def test_an_interrupt_that_came_before_ends_it_before_it_begins() -> None:
    interrupt = Interrupt()
    interrupt.trigger(InterruptReason.CLAIM_LOST)
    with raw_host(silence) as host, objects(f"http://127.0.0.1:{host.port}", timeout=FOR_EVER) as sources:
        with pytest.raises(Interrupted):
            all_of(sources, _URI)(interrupt)
        assert not host.asked.is_set()


@pytest.mark.parametrize("serve", [silence, headers_alone, a_stalling_body])
def test_a_store_that_is_silent_for_too_long_is_left(serve: Serve) -> None:
    began = time.monotonic()
    with raw_host(serve) as host, objects(f"http://127.0.0.1:{host.port}", timeout=1.0) as sources:
        error = failure_of(sources, _URI)
    assert isinstance(error, TransientError)
    assert "did not answer in time" in error.detail
    assert 0.9 < time.monotonic() - began < 5


def test_a_call_that_was_left_behind_ends_by_itself() -> None:
    gone = threading.Event()

    def deaf(_: RawHost, peer: socket.socket) -> None:
        peer.sendall(head(_MB))
        while peer.recv(1):
            pass
        gone.set()

    with raw_host(deaf) as host, objects(f"http://127.0.0.1:{host.port}", timeout=1.0) as sources:
        failure_of(sources, _URI)
        assert gone.wait(10), "its thread and its connection stay"


@pytest.mark.usefixtures("quick_window")
@pytest.mark.parametrize("first", [0, 8000, 64_000], ids=["from the start", "after a chunk", "after some"])
def test_a_store_that_drips_is_left(first: int) -> None:
    def dripping(raw: RawHost, peer: socket.socket) -> None:
        peer.sendall(head(_MB) + bytes(max(first, 1)))
        raw.drip(peer, 0.02)

    with (
        raw_host(dripping) as raw,
        objects(f"http://127.0.0.1:{raw.port}", timeout=FOR_EVER) as sources,
        pytest.raises(TransientError) as failure,
    ):
        listen(sources, _URI)
    assert "CORTI_WORKER_DOWNLOAD_MIN_SPEED" in failure.value.detail


@pytest.mark.usefixtures("quick_window")
def test_a_store_that_is_slow_but_fast_enough_is_heard_to_the_end() -> None:
    def slow(raw: RawHost, peer: socket.socket) -> None:
        peer.sendall(head(96_000, 96_000))
        for _ in range(12):
            raw.over.wait(0.2)
            peer.sendall(bytes(8000))

    with raw_host(slow) as raw, objects(f"http://127.0.0.1:{raw.port}", timeout=FOR_EVER) as sources:
        assert listen(sources, _URI) == 3.0


def test_an_object_beyond_the_limit_is_refused_for_good(host: WebHost) -> None:
    host.add(_PATH, in_ranges(BODY))
    with objects(host.url, max_bytes=len(BODY) - 1) as sources:
        error = failure_of(sources, _URI)
    with objects(host.url, max_bytes=len(BODY)) as sources:
        assert read(sources, _URI) == BODY
    assert isinstance(error, PermanentError)
    assert error.reason == "audio_too_large"
    assert "CORTI_WORKER_DOWNLOAD_MAX_BYTES" in error.detail


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    begin_part(handler, len(BODY))
    handler.wfile.write(bytes(100))
    handler.close_connection = True


def part(told: str, length: int) -> Page:
    """An answer that says it is this part of the object, and has so many bytes."""

    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(206)
        said = {"ETag": '"one"', "Last-Modified": DATE, "Content-Range": f"bytes {told}/262144"}
        for name, value in {**said, "Content-Length": str(length)}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(bytes(length))

    return page


@pytest.mark.parametrize(
    "page",
    [cut_short, part("7-106", 100), part("0-99", 100), part("0-131071", 100), part("0-131071", 131_073)],
    ids=["cut short", "another part", "a shorter part", "less than it says", "more than it says"],
)
def test_an_answer_that_is_not_the_range_is_no_audio(host: WebHost, page: Page) -> None:
    host.add(_PATH, page)
    with objects(host.url, timeout=1.0) as sources:
        assert isinstance(failure_of(sources, _URI), TransientError)


def test_a_part_at_an_offset_that_is_too_short_does_not_pass_for_the_end(host: WebHost) -> None:
    host.add(_PATH, in_turn(in_ranges(BODY), part("0-999", 100)))
    with objects(host.url) as sources, opened(sources, Audio(uri=_URI)) as source:
        assert source.read_at is not None
        with pytest.raises(TransientError) as failure:
            source.read_at(0, 1000)
    assert "before its end" in failure.value.detail


def test_of_an_answer_that_does_not_end_little_is_taken(host: WebHost) -> None:
    host.add(_PATH, part("0-131071", 20 * _MB))
    taken: list[bytes] = []
    with (
        objects(host.url) as sources,
        opened(sources, Audio(uri=_URI)) as source,
        pytest.raises(TransientError) as failure,
    ):
        taken.extend(blocks(source))
    assert "more than was asked for" in failure.value.detail
    assert sum(map(len, taken)) <= RANGE_BYTES


def test_headers_that_drip_in_mid_read_are_given_up_in_time(host: WebHost) -> None:
    """Each byte ends the library's silence, and before the headers are whole it has nothing to hand out."""
    over = threading.Event()

    def dripping(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\nX-Slow: ")
        while not over.wait(0.05):
            handler.wfile.write(b"x")

    host.add(_PATH, in_turn(in_ranges(BODY), dripping))
    with objects(host.url, timeout=1.0, least_speed=0) as sources:
        error = failure_of(sources, _URI)
        over.set()
    assert isinstance(error, TransientError)
    assert "did not answer in time" in error.detail


def peak_kb() -> int:
    """The most memory that this process has held since `forget_peak`."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1])


def forget_peak() -> None:
    _FORGET.write_text("5")


@pytest.mark.skipif(not _FORGET.exists(), reason="only Linux tells the peak of a process's memory")
def test_an_object_of_500_mb_takes_no_more_memory_than_a_small_one(host: WebHost) -> None:
    size, piece = 500 * _MB, bytes(RANGE_BYTES)

    def large(handler: BaseHTTPRequestHandler) -> None:
        start, stop = asked(handler, size)
        begin_part(handler, size)
        handler.wfile.write(piece[: stop - start])

    host.add(_PATH, large)
    with objects(host.url) as sources, opened(sources, Audio(uri=_URI)) as source:
        assert len(source.read(_MB)) > 0  # the library, its threads and a connection are there now
        forget_peak()
        before = peak_kb()
        total = sum(len(block) for block in blocks(source, 8000))
        grown = peak_kb() - before
    assert total > size - _MB
    assert grown < 20_000, f"{grown} kB"
