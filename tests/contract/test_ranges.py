"""Downloads that are read at any offset, as formats need whose index lies at the end of the file."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.contract.listening import BODY, SECRET, audio_sources, blocks, opened
from tests.contract.range_pages import Long, ends, giving, in_turn, stalls
from tests.contract.secrecy import assert_silent
from tests.contract.test_hostile_downloads import assert_forbidden, resolving
from tests.contract.test_resume_guards import late, silence
from tests.contract.test_source_interrupts import FOR_EVER, interrupted
from tests.contract.web_host import Page, WebHost, answer
from worker.audio import span, speed
from worker.audio.ranges import KEPT, LARGEST_BLOCK, SMALLEST_BLOCK
from worker.audio.reading import ReadAt, Source
from worker.audio.source import Sources
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.errors import JobError, PermanentError, TransientError

MB = 1_000_000


@contextmanager
def reading(sources: Sources, url: str) -> Iterator[tuple[Source, ReadAt]]:
    """An opened source, and its `read_at`."""
    with opened(sources, Audio(uri=url)) as source:
        assert source.read_at is not None
        yield source, source.read_at


def failure_at(sources: Sources, url: str, *places: tuple[int, int]) -> JobError:
    """Fail while these places are read."""

    def look() -> None:
        with reading(sources, url) as (_, read_at):
            for place in places:
                read_at(*place)

    with pytest.raises(JobError) as failure:
        look()
    assert_silent(failure.value, SECRET)
    return failure.value


def asked(host: WebHost) -> list[str | None]:
    """The ranges that were asked for, one for each request."""
    return [headers.get("Range") for headers in host.seen]


def test_a_file_is_read_at_any_offset(host: WebHost, sources: Sources) -> None:
    with reading(sources, host.add("/a", giving(BODY))) as (source, read_at):
        assert source.size == len(BODY)
        places = [(0, 100), (len(BODY) - 8, 8), (65_530, 12), (5, 200_000), (0, len(BODY)), (77, 0)]
        for offset, size in places:
            assert read_at(offset, size) == BODY[offset : offset + size]


def test_fewer_bytes_mean_the_end(host: WebHost, sources: Sources) -> None:
    with reading(sources, host.add("/a", giving(BODY))) as (_, read_at):
        assert read_at(len(BODY) - 3, 100) == BODY[-3:]
        assert read_at(len(BODY), 100) == read_at(1 << 60, 100) == b""
        assert read_at(0, 1 << 60) == BODY
        with pytest.raises(ValueError, match="negative"):
            read_at(-1, 10)


def test_an_index_at_the_end_costs_few_requests(host: WebHost, sources: Sources) -> None:
    """What a reader of MP4 does: headers of boxes, the index behind all samples, then the samples."""
    body = Long(20 * MB)
    with reading(sources, host.add("/a", giving(body))) as (_, read_at):
        for offset in range(0, 40, 8):
            read_at(offset, 8)
        for offset in range(19 * MB, 20 * MB, 500):
            read_at(offset, 500)
        index = len(host.seen)
        for offset in range(40, 19 * MB, 4000):
            assert read_at(offset, 4000) == body[offset : offset + 4000]
    assert index <= 1 + 1 + 2 + MB / LARGEST_BLOCK + 1
    assert len(host.seen) - index <= 2 + 19 * MB / LARGEST_BLOCK + 1


def test_a_jump_asks_for_little_and_reading_on_for_more(host: WebHost, sources: Sources) -> None:
    with reading(sources, host.add("/a", giving(Long(MB)))) as (_, read_at):
        for offset in range(0, 500_000, 10_000):
            read_at(offset, 10_000)
    kib = 1024
    assert asked(host)[1:4] == [
        f"bytes=0-{64 * kib - 1}",
        f"bytes={64 * kib}-{192 * kib - 1}",
        f"bytes={192 * kib}-{448 * kib - 1}",
    ]
    assert (64 * kib, 256 * kib) == (SMALLEST_BLOCK, LARGEST_BLOCK)


def test_going_to_and_fro_between_a_few_places_asks_once_for_each(host: WebHost, sources: Sources) -> None:
    with reading(sources, host.add("/a", giving(Long(10 * MB)))) as (_, read_at):
        for _ in range(5):
            for place in range(KEPT):
                read_at(place * 3 * MB, 100)
    assert len(host.seen) == 1 + KEPT


def test_an_index_that_is_used_all_the_time_is_asked_for_once(host: WebHost, sources: Sources) -> None:
    with reading(sources, host.add("/a", giving(Long(10 * MB)))) as (_, read_at):
        for place in range(0, 5 * MB, 50_000):
            read_at(9 * MB, 100)
            read_at(place, 100)
    first = 9 * MB - 9 * MB % SMALLEST_BLOCK
    assert asked(host).count(f"bytes={first}-{first + SMALLEST_BLOCK - 1}") == 1
    assert len(host.seen) <= 2 + 3 + 5 * MB / LARGEST_BLOCK


def test_blocks_come_over_one_connection(host: WebHost, sources: Sources) -> None:
    peers = []

    def page(handler: BaseHTTPRequestHandler) -> None:
        peers.append(handler.client_address)
        giving(Long(10 * MB))(handler)

    with reading(sources, host.add("/a", page)) as (_, read_at):
        for offset in range(0, 9 * MB, MB):
            read_at(offset, 100)
    assert len(peers) == 10
    assert len(set(peers[1:])) == 1


def test_what_is_read_in_order_is_not_disturbed(host: WebHost, sources: Sources) -> None:
    with reading(sources, host.add("/a", giving(Long(10 * MB)))) as (source, read_at):
        head = source.read(1000)
        assert read_at(9 * MB, 100) == Long(10 * MB)[9 * MB : 9 * MB + 100]
        size = len(head)
        for block in blocks(source):
            assert block == Long(10 * MB)[size : size + len(block)]
            size += len(block)
    assert size == 10 * MB


def test_the_connection_of_the_whole_file_is_left_when_a_place_is_read(
    host: WebHost, sources: Sources
) -> None:
    gone = threading.Event()

    def first(handler: BaseHTTPRequestHandler) -> None:
        try:
            giving(Long(100 * MB))(handler)
        except OSError:
            gone.set()
            raise

    with reading(sources, host.add("/a", in_turn(first, giving(Long(100 * MB))))) as (_, read_at):
        read_at(50 * MB, 100)
        assert gone.wait(5)


def test_reading_in_order_and_at_places_by_turns_asks_for_the_rest_once(
    host: WebHost, sources: Sources
) -> None:
    with reading(sources, host.add("/a", giving(Long(10 * MB)))) as (source, read_at):
        for place in range(1, 5):
            source.read(100_000)
            read_at(place * 2 * MB, 100)
    assert len([one for one in asked(host) if one and one.endswith("-")]) == 1


def test_a_block_that_is_left_leaves_no_connection(host: WebHost, sources: Sources) -> None:
    gone = threading.Event()

    def lying(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(206)
        handler.send_header("ETag", '"one"')
        handler.send_header("Content-Range", f"bytes 0-9/{len(BODY)}")
        handler.end_headers()
        handler.wfile.write(BODY)
        handler.connection.settimeout(5)
        with suppress(ConnectionError):
            assert handler.connection.recv(1) == b""
        gone.set()
        handler.close_connection = True

    with reading(sources, host.add("/a", in_turn(giving(BODY), lying))) as (_, read_at):
        with pytest.raises(TransientError, match="sent more than it had announced") as failure:
            read_at(0, 100)
        assert gone.wait(5), failure


_NONE: dict[str, tuple[dict[str, Any], int | None]] = {
    "not announced": ({"Accept_Ranges": None}, len(BODY)),
    "denied": ({"Accept_Ranges": "none"}, len(BODY)),
    "other units": ({"Accept_Ranges": "seconds, lines"}, len(BODY)),
    "no validator": ({"ETag": None, "Last_Modified": None}, len(BODY)),
    "encoded": ({"Content_Encoding": "br"}, None),
    "of unknown length": ({"Content_Length": None, "Connection": "close"}, None),
}


@pytest.mark.parametrize(("headers", "size"), _NONE.values(), ids=_NONE)
def test_without_ranges_there_is_no_reading_at_offsets(
    host: WebHost, sources: Sources, headers: dict[str, Any], size: int | None
) -> None:
    with opened(sources, Audio(uri=host.add("/a", giving(BODY, **headers)))) as source:
        assert source.read_at is None
        assert source.size == size


def test_a_block_whose_connection_breaks_is_gone_on_with(host: WebHost, sources: Sources) -> None:
    for breaks in ends, stalls:
        host.seen.clear()
        page = in_turn(giving(BODY), giving(BODY, breaks=breaks, after=20_000, times=1))
        with reading(sources, host.add("/a", page)) as (_, read_at):
            assert read_at(0, 60_000) == BODY[:60_000]
        assert asked(host) == [None, "bytes=0-65535", "bytes=20000-65535"]


_LIES: dict[str, tuple[Page, str]] = {
    "another tag": (giving(BODY, ETag='"two"'), "has changed"),
    "another size": (giving(BODY + b"more"), "has changed"),
    "the whole": (answer(200, BODY, ETag='"one"'), "sent the whole file"),
    "another part": (
        answer(206, BODY[1:65537], ETag='"one"', Content_Range=f"bytes 1-65536/{len(BODY)}"),
        "sent another part",
    ),
    "more than was asked for": (
        answer(206, BODY[:65537], ETag='"one"', Content_Range=f"bytes 0-65536/{len(BODY)}"),
        "sent another part",
    ),
}


@pytest.mark.parametrize(("page", "text"), _LIES.values(), ids=_LIES)
def test_another_file_or_another_part_is_never_taken(
    host: WebHost, sources: Sources, page: Page, text: str
) -> None:
    error = failure_at(sources, host.add(f"/{SECRET}", in_turn(giving(BODY), page)), (0, 100))
    assert isinstance(error, TransientError)
    assert text in error.detail
    assert len(host.seen) == 2


def test_a_place_is_read_only_from_hosts_that_are_allowed(host: WebHost) -> None:
    url = host.add(f"/{SECRET}", in_turn(giving(BODY), answer(302, b"", Location="http://127.0.0.2/a")))
    with audio_sources(resolve=resolving("127.0.0.3")) as sources:
        assert_forbidden(failure_at(sources, url, (0, 100)))


def test_a_file_that_leads_to_and_fro_is_left(host: WebHost) -> None:
    body = Long(8 * MB)
    places = [(place * MB, 100) for _ in range(100) for place in range(8)]
    with audio_sources(max_bytes=len(body)) as sources:
        error = failure_at(sources, host.add(f"/{SECRET}", giving(body)), *places)
    assert isinstance(error, PermanentError)
    assert "CORTI_WORKER_DOWNLOAD_MAX_BYTES" in error.detail
    assert len(host.seen) <= 2 + 2 * len(body) / SMALLEST_BLOCK


def test_a_file_of_the_largest_size_is_read_after_its_index(host: WebHost) -> None:
    body = Long(MB)
    with (
        audio_sources(max_bytes=len(body)) as sources,
        reading(sources, host.add("/a", giving(body))) as (
            _,
            read_at,
        ),
    ):
        read_at(MB - 8, 8)
        for offset in range(0, MB, 4000):
            read_at(offset, 4000)


@pytest.fixture
def quick_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute, in the time of a test."""
    monkeypatch.setattr(speed, "WINDOW", 1.0)
    monkeypatch.setattr(speed, "_GRAIN", 0.05)


@pytest.mark.usefixtures("quick_window")
@pytest.mark.parametrize(("seconds", "enough"), [(0.25, True), (1.5, False)])
def test_bytes_must_come_at_a_minimum_speed(host: WebHost, seconds: float, *, enough: bool) -> None:
    """A block of 64 KiB counts as two seconds of audio, and each second of waiting must bring as many."""
    page = in_turn(giving(Long(100 * MB)), late(giving(Long(100 * MB)), seconds))
    places = [(place * MB, 100) for place in range(8)]
    url = host.add(f"/{SECRET}", page)
    with audio_sources(timeout=5.0, least_speed=2.0) as sources:
        if enough:
            with reading(sources, url) as (_, read_at):
                for place in places:
                    read_at(*place)
        else:
            assert "CORTI_WORKER_DOWNLOAD_MIN_SPEED" in failure_at(sources, url, *places).detail


@pytest.mark.parametrize("then", [answer(503), silence, giving(BODY, breaks=silence, after=100)])
def test_an_interrupt_ends_the_wait_for_a_place(
    host: WebHost, monkeypatch: pytest.MonkeyPatch, then: Page
) -> None:
    monkeypatch.setattr(span, "PAUSES", (0.0, FOR_EVER))
    waiting = threading.Event()

    def told(handler: BaseHTTPRequestHandler) -> None:
        waiting.set()
        then(handler)

    def look(interrupt: Interrupt) -> None:
        with opened(sources, Audio(uri=url), interrupt) as source:
            assert source.read_at is not None
            source.read_at(100_000, 100)

    url = host.add("/a", in_turn(giving(BODY), told))
    with (
        audio_sources(timeout=FOR_EVER, least_speed=0.0) as sources,
        interrupted(look, lambda: waiting.wait(5)),
    ):
        pass
