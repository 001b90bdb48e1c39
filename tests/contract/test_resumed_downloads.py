"""Downloads whose connection breaks: they go on where they stopped, and never with another file."""

import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.contract.listening import BODY, SECRET, audio_sources, failure_of, read
from tests.contract.range_pages import LONG_AGO, TAG, Break, ends, giving, in_turn, resets, stalls
from tests.contract.web_host import Page, WebHost, answer
from worker.audio import span
from worker.audio.failures import AttemptOver
from worker.audio.source import Sources
from worker.contract.errors import PermanentError, TransientError

AT = 100_000


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests wait for as little as can be."""
    monkeypatch.setattr(span, "PAUSES", (0.0, 0.05, 0.05, 0.05, 0.05))


def asked(host: WebHost) -> list[str | None]:
    """The ranges that were asked for, one for each request."""
    return [headers.get("Range") for headers in host.seen]


def broken() -> Page:
    """A first answer that ends too soon."""
    return giving(BODY, breaks=ends, after=AT)


@pytest.mark.parametrize("breaks", [ends, resets, stalls])
def test_a_download_goes_on_at_the_byte_where_it_broke(
    host: WebHost, sources: Sources, breaks: Break
) -> None:
    url = host.add("/a", giving(BODY, breaks=breaks, after=AT, times=1))
    assert read(sources, url) == BODY
    assert asked(host) == [None, f"bytes={AT}-"]
    assert host.seen[1]["If-Range"] == TAG
    assert host.seen[1]["Accept-Encoding"] == "identity"


def test_a_download_goes_on_as_often_as_each_connection_brings_something(
    host: WebHost, sources: Sources
) -> None:
    assert read(sources, host.add("/a", giving(BODY, breaks=ends, after=20_000))) == BODY
    assert asked(host)[1:] == [f"bytes={at}-" for at in range(20_000, len(BODY), 20_000)]
    assert len(host.seen) > 1 + len(span.PAUSES)


def test_a_connection_that_brings_next_to_nothing_is_no_progress(host: WebHost, sources: Sources) -> None:
    error = failure_of(sources, host.add(f"/{SECRET}", giving(BODY, breaks=ends, after=100)))
    assert isinstance(error, TransientError)
    assert len(host.seen) == 1 + len(span.PAUSES)


def test_a_server_that_is_away_for_a_moment_is_asked_again(host: WebHost, sources: Sources) -> None:
    page = in_turn(broken(), answer(503), answer(500), answer(429), giving(BODY))
    assert read(sources, host.add("/a", page)) == BODY
    assert asked(host) == [None, *[f"bytes={AT}-"] * 4]


def test_a_server_that_stays_away_is_given_up(host: WebHost, sources: Sources) -> None:
    error = failure_of(sources, host.add(f"/{SECRET}", in_turn(broken(), answer(503))))
    assert isinstance(error, TransientError)
    assert "503" in error.detail
    assert len(host.seen) == 1 + len(span.PAUSES)


def test_a_server_that_wants_to_be_left_for_long_is_left_to_the_next_attempt(
    host: WebHost, sources: Sources
) -> None:
    page = in_turn(broken(), answer(503, Retry_After="60"))
    error = failure_of(sources, host.add(f"/{SECRET}", page))
    assert isinstance(error, TransientError)
    assert error.retry_after == 60.0
    assert len(host.seen) == 2


def test_a_server_that_wants_to_be_left_for_a_moment_is(
    host: WebHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span, "PAUSES", (0.0, 0.0, 2.0))
    url = host.add("/a", in_turn(broken(), answer(503, Retry_After="1"), giving(BODY)))
    began = time.monotonic()
    with audio_sources(least_speed=0.0) as sources:
        assert read(sources, url) == BODY
    assert time.monotonic() - began >= 1.0


def test_a_server_need_not_announce_ranges_if_it_gives_them(host: WebHost, sources: Sources) -> None:
    page = giving(BODY, breaks=ends, after=AT, times=1, Accept_Ranges=None)
    assert read(sources, host.add("/a", page)) == BODY
    assert len(host.seen) == 2


def test_without_a_tag_the_date_of_the_change_tells_the_file(host: WebHost, sources: Sources) -> None:
    page = giving(BODY, breaks=ends, after=AT, times=1, ETag=None)
    assert read(sources, host.add("/a", page)) == BODY
    assert host.seen[1]["If-Range"] == LONG_AGO


def test_a_weak_tag_leaves_it_to_the_date(host: WebHost, sources: Sources) -> None:
    page = giving(BODY, breaks=ends, after=AT, times=1, ETag='W/"one"')
    assert read(sources, host.add("/a", page)) == BODY
    assert host.seen[1]["If-Range"] == LONG_AGO


_UNTOLD: dict[str, dict[str, Any]] = {
    "no validator": {"ETag": None, "Last_Modified": None},
    "a weak tag alone": {"ETag": 'W/"one"', "Last_Modified": None},
    "a tag that is none": {"ETag": "one", "Last_Modified": None},
    "a tag of two lines": {"ETag": '"one\r\n two"', "Last_Modified": None},
    "a date that is none": {"ETag": None, "Last_Modified": "yesterday"},
    "encoded": {"Content_Encoding": "br"},
}


@pytest.mark.parametrize("headers", _UNTOLD.values(), ids=_UNTOLD)
def test_a_file_that_cannot_be_told_from_another_is_not_gone_on_with(
    host: WebHost, sources: Sources, headers: dict[str, Any]
) -> None:
    page = giving(BODY, breaks=ends, after=AT, **headers)
    error = failure_of(sources, host.add(f"/{SECRET}", page))
    assert isinstance(error, TransientError)
    assert not isinstance(error, AttemptOver)
    assert "broke off" in error.detail
    assert len(host.seen) == 1


def part(begin: int, end: int, whole: int = len(BODY), **headers: str) -> Page:
    """A part of the file, whatever was asked for."""
    about = {"ETag": TAG, "Content_Range": f"bytes {begin}-{end - 1}/{whole}", **headers}
    return answer(206, BODY[begin:end], **about)


_CHANGES = {
    "a part with another tag": part(AT, len(BODY), ETag='"two"'),
    "a part without its tag": answer(206, BODY[AT:], Content_Range=f"bytes {AT}-{len(BODY) - 1}/{len(BODY)}"),
    "the whole with another tag": giving(BODY, ETag='"two"'),
    "the whole without a tag": answer(200, BODY),
    "another size": part(AT, len(BODY), len(BODY) + 1),
    "precondition failed": answer(412),
    "shorter than that": answer(416),
}


@pytest.mark.parametrize("page", _CHANGES.values(), ids=_CHANGES)
def test_a_file_that_has_changed_is_never_gone_on_with(host: WebHost, sources: Sources, page: Page) -> None:
    error = failure_of(sources, host.add(f"/{SECRET}", in_turn(broken(), page)))
    assert isinstance(error, TransientError)
    assert "has changed at its server while it was read" in error.detail
    assert len(host.seen) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ETag": None}, {"ETag": None, "Last_Modified": "Wed, 25 Nov 2026 10:00:00 GMT"}),
        ({"ETag": 'W/"one"'}, {"ETag": 'W/"two"', "Last_Modified": LONG_AGO}),
    ],
    ids=["another date", "another weak tag"],
)
def test_a_changed_file_is_told_by_its_date_and_by_weak_tags_too(
    host: WebHost, sources: Sources, first: dict[str, Any], second: dict[str, str]
) -> None:
    whole = f"bytes {AT}-{len(BODY) - 1}/{len(BODY)}"
    headers = {name: value for name, value in second.items() if value}
    page = in_turn(
        giving(BODY, breaks=ends, after=AT, **first), answer(206, BODY[AT:], Content_Range=whole, **headers)
    )
    error = failure_of(sources, host.add(f"/{SECRET}", page))
    assert "has changed at its server while it was read" in error.detail


def test_a_server_without_ranges_is_left_to_the_next_attempt(host: WebHost, sources: Sources) -> None:
    page = in_turn(broken(), answer(200, BODY, ETag=TAG))
    error = failure_of(sources, host.add(f"/{SECRET}", page))
    assert isinstance(error, TransientError)
    assert "sent the whole file where a part of it was asked for" in error.detail
    assert len(host.seen) == 2


_WRONG = {
    "begins before": part(AT - 1, len(BODY)),
    "begins after": part(AT + 1, len(BODY)),
    "says not which": answer(206, BODY[AT:], ETag=TAG),
    "says nonsense": part(AT, len(BODY), Content_Range=f"bytes {len(BODY)}-{AT}/{len(BODY)}"),
    "of unknown size": part(AT, len(BODY), Content_Range=f"bytes {AT}-{len(BODY) - 1}/*"),
    "beyond the end": part(AT, len(BODY), Content_Range=f"bytes {AT}-{len(BODY)}/{len(BODY)}"),
    "encoded": part(AT, len(BODY), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("page", _WRONG.values(), ids=_WRONG)
def test_another_part_than_the_missing_one_is_never_taken(
    host: WebHost, sources: Sources, page: Page
) -> None:
    error = failure_of(sources, host.add(f"/{SECRET}", in_turn(broken(), page)))
    assert isinstance(error, TransientError)
    assert "sent another part of the file" in error.detail
    assert len(host.seen) == 2


def test_a_part_that_is_shorter_than_the_rest_is_followed_by_the_next(
    host: WebHost, sources: Sources
) -> None:
    page = in_turn(broken(), part(AT, 2 * AT), giving(BODY))
    assert read(sources, host.add("/a", page)) == BODY
    assert asked(host) == [None, f"bytes={AT}-", f"bytes={2 * AT}-"]


def test_a_part_that_is_longer_than_it_says_is_never_taken(host: WebHost, sources: Sources) -> None:
    page = in_turn(broken(), part(AT, len(BODY), Content_Range=f"bytes {AT}-{2 * AT}/{len(BODY)}"))
    error = failure_of(sources, host.add(f"/{SECRET}", page))
    assert isinstance(error, TransientError)
    assert "sent more than it had announced" in error.detail


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_gone_meanwhile_is_refused_for_good(
    host: WebHost, sources: Sources, status: int
) -> None:
    error = failure_of(sources, host.add(f"/{SECRET}", in_turn(broken(), answer(status))))
    assert isinstance(error, PermanentError)
    assert len(host.seen) == 2


def test_nobody_is_asked_for_what_has_come_whole(host: WebHost, sources: Sources) -> None:
    for _ in range(2):
        assert read(sources, host.add("/a", giving(BODY))) == BODY
        assert read(sources, host.add("/empty", giving(b""))) == b""
    assert asked(host) == [None] * 4


def test_a_connection_that_breaks_after_the_last_byte_takes_nothing_away(
    host: WebHost, sources: Sources
) -> None:
    def without_last_chunk(handler: BaseHTTPRequestHandler) -> None:
        rest = BODY[AT:]
        handler.send_response(206)
        handler.send_header("ETag", TAG)
        handler.send_header("Content-Range", f"bytes {AT}-{len(BODY) - 1}/{len(BODY)}")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(rest), rest))
        handler.close_connection = True

    assert read(sources, host.add("/a", in_turn(broken(), without_last_chunk))) == BODY
    assert len(host.seen) == 2
