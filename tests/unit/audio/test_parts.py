"""What headers say of a file, and whether two answers are of the same state of it."""

import pytest
from requests.structures import CaseInsensitiveDict

from worker.audio.parts import State, encoded, gives_ranges, length, part

MODIFIED, LATER = "Tue, 24 Nov 2026 10:00:00 GMT", "Wed, 25 Nov 2026 10:00:00 GMT"


def headers(**values: str) -> CaseInsensitiveDict[str]:
    """Headers of an answer, as requests has them."""
    return CaseInsensitiveDict({name.replace("_", "-"): value for name, value in values.items()})


@pytest.mark.parametrize(
    ("given", "validator"),
    [
        ({"ETag": '"a"'}, '"a"'),
        ({"etag": '""'}, '""'),
        ({"ETag": '"a"', "Last_Modified": MODIFIED, "Date": LATER}, '"a"'),
        ({"ETag": 'W/"a"', "Last_Modified": MODIFIED, "Date": LATER}, MODIFIED),
        ({"Last_Modified": MODIFIED, "Date": "Tue, 24 Nov 2026 10:00:01 GMT"}, MODIFIED),
        ({"Last_Modified": MODIFIED, "Date": MODIFIED}, None),
        ({"Last_Modified": LATER, "Date": MODIFIED}, None),
        ({"Last_Modified": MODIFIED}, None),
        ({"Last_Modified": "24 Nov 2026 10:00:00", "Date": LATER}, None),
        ({"Last_Modified": "Tue, 24 Nov 2026 10:00:00\n GMT", "Date": LATER}, None),
        ({"Last_Modified": "never", "Date": LATER}, None),
        ({"ETag": "a"}, None),
        ({"ETag": '"a b"'}, None),
        ({"ETag": '"a\r\n b"'}, None),
        ({"ETag": '"\u00e4"'}, None),
        ({"ETag": f'"{"a" * 257}"'}, None),
        ({}, None),
    ],
)
def test_only_a_strong_validator_tells_a_state(given: dict[str, str], validator: str | None) -> None:
    state = State.of(headers(Content_Length="10", **given))
    assert (state.validator if state else None) == validator


@pytest.mark.parametrize("size", ["", "-1", "1.5", "ten", "\u00b2"])
def test_a_state_has_a_size(size: str) -> None:
    assert State.of(headers(ETag='"a"', Content_Length="0")) == State('"a"', 0, '"a"')
    assert State.of(headers(ETag='"a"', Content_Length=size)) is None
    assert State.of(headers(ETag='"a"')) is None


def test_a_length_may_have_any_number_of_digits() -> None:
    assert length(headers(Content_Length="9" * 5000)) == 10**19 - 1
    assert length(headers(Content_Length="0" * 5000 + "12")) == 12


def test_an_encoded_body_is_not_the_file() -> None:
    assert State.of(headers(ETag='"a"', Content_Length="1", Content_Encoding="gzip")) is None
    assert State.of(headers(ETag='"a"', Content_Length="1", Content_Encoding="Identity")) is not None
    assert not encoded(headers())


def test_the_same_tag_is_the_same_state() -> None:
    state = State('"a"', 10, '"a"')
    assert state.is_of(headers(ETag='"a"', Last_Modified=LATER))
    for other in headers(ETag='"b"'), headers(ETag='W/"a"'), headers(Last_Modified=MODIFIED), headers():
        assert not state.is_of(other)


def test_the_same_date_is_the_same_state_unless_a_weak_tag_is_another() -> None:
    state = State(MODIFIED, 10, 'W/"a"')
    for same in headers(), headers(Last_Modified=MODIFIED), headers(ETag='W/"a"', Last_Modified=MODIFIED):
        assert state.is_of(same)
    for other in headers(Last_Modified=LATER), headers(ETag='W/"b"', Last_Modified=MODIFIED):
        assert not state.is_of(other)


@pytest.mark.parametrize(
    ("value", "gives"),
    [
        ("bytes", True),
        ("Bytes", True),
        ("lines, bytes", True),
        ("none", False),
        ("", False),
        ("megabytes", False),
    ],
)
def test_ranges_are_announced_by_their_unit(value: str, *, gives: bool) -> None:
    assert gives_ranges(headers(Accept_Ranges=value)) is gives
    assert not gives_ranges(headers())


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("bytes 0-9/10", (0, 10, 10)),
        (" bytes 3-3/10 ", (3, 4, 10)),
        ("bytes 3-10/10", None),
        ("bytes 5-4/10", None),
        ("bytes 0-9/*", None),
        ("bytes */10", None),
        ("lines 0-9/10", None),
        ("bytes -1-9/10", None),
        ("bytes 0-9", None),
        ("bytes 0-9/1\u00b2", None),
        (f"bytes 0-9/{'9' * 5000}", None),
        ("", None),
    ],
)
def test_a_part_says_where_it_lies(value: str, found: tuple[int, int, int] | None) -> None:
    assert part(headers(Content_Range=value)) == found
