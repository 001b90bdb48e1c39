"""Headers of a broker's message are read only if they are ours, and are ignored otherwise."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from worker.broker import envelope
from worker.broker.topology import ACCEPTED_AT, MAIN_LANE, Lane
from worker.jobs.ingress_headers import NO_HEADERS, IngressHeaders

_AT = datetime(2026, 5, 4, 10, 30, 0, 125_000, tzinfo=UTC)
_NOTED = IngressHeaders(_AT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
_DEATH = {"count": 1, "reason": "expired", "queue": MAIN_LANE.aside, "exchange": ""}


@pytest.mark.parametrize(
    "known", [_NOTED, replace(_NOTED, traceparent=None), replace(_NOTED, accepted_at=None), NO_HEADERS]
)
def test_our_headers_are_read_as_they_were_written(known: IngressHeaders) -> None:
    headers = envelope.noted(known)
    assert envelope.ingress_headers(headers) == known
    assert envelope.known(json.dumps(headers).encode()) == known
    assert envelope.set_aside({**headers, "x-death": [_DEATH]}, MAIN_LANE.aside) == known


@pytest.mark.parametrize("stored", [None, b"", b"{", b"[]", b"7", b"\xff", b'{"corti_accepted_at": "soon"}'])
def test_headers_in_redis_that_we_did_not_write_are_ignored(stored: bytes | None) -> None:
    assert envelope.known(stored) == IngressHeaders()


@pytest.mark.parametrize(
    "deaths",
    [
        None,
        [],
        "x",
        [7],
        {},
        [{}],
        [{**_DEATH, "queue": "corti.results"}],
        [{**_DEATH, "queue": Lane("a").aside}],
    ],
)
def test_our_headers_on_a_producers_message_are_ignored(deaths: object) -> None:
    headers = {**envelope.noted(_NOTED), "x-death": deaths}
    assert envelope.set_aside(headers, MAIN_LANE.aside) == IngressHeaders()
    assert envelope.set_aside(envelope.noted(_NOTED), MAIN_LANE.aside) == IngressHeaders()
    assert envelope.set_aside(None, MAIN_LANE.aside) == IngressHeaders()


def test_the_last_death_says_where_a_message_was_and_why_it_is_here() -> None:
    last = {**_DEATH, "queue": "corti.work", "reason": "rejected"}
    assert envelope.last_death({"x-death": [last, _DEATH]}) == ("corti.work", "rejected")
    assert envelope.last_death({"x-death": [{"queue": 7}, _DEATH]}) == (MAIN_LANE.aside, "expired")
    odd: list[dict[str, object] | None] = [None, {}, {"x-death": "x"}, {"x-death": [{}]}, {ACCEPTED_AT: 1}]
    for headers in odd:
        assert envelope.last_death(headers) is None


def test_a_job_is_found_in_our_task_and_in_a_producers_message() -> None:
    job = '{"job_id": "Zoë"}'
    assert envelope.job_in(json.dumps([[job], {}, {"chain": None}]).encode()) == job.encode()
    assert envelope.job_in(job.encode()) == job.encode()


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[[1], {}, {}]", b"[]", b'[["a", "b"], {}, {}]', b"[" * 100_000, b'"x"']
)
def test_other_messages_are_returned_unchanged(body: bytes) -> None:
    assert envelope.job_in(body) == body


def test_half_a_surrogate_pair_raises_nothing() -> None:
    assert envelope.job_in(b'[["\\ud800"], {}, {}]') == b"\xed\xa0\x80"
