"""Properties of the contract that hold for any message."""

import json
import string
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.examples import FULL, SMALLEST
from worker.contract.job import Job
from worker.contract.message import InvalidJob

MARKER = "Zebedee"
Path = tuple[str | int, ...]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def paths(value: Any, here: Path = ()) -> Iterator[Path]:
    """The path of every place in a JSON value."""
    yield here
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*here, key))


def replaced(path: Path, by: Any) -> dict[str, Any]:
    """The full job with another value at one place."""
    if not path:
        return by  # type: ignore[no-any-return]
    changed = deepcopy(FULL)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = by
    return changed


def refusal(message: bytes) -> InvalidJob | None:
    """Why a message is refused, or None if it is a job. Any other exception fails the test."""
    try:
        Job.from_message(message)
    except InvalidJob as error:
        return error
    return None


def in_some_shape(marker: str) -> list[Any]:
    """The marker in a JSON value of any kind that can hold it."""
    return [
        marker,
        f"{marker} {marker}",
        [marker],
        [[marker]],
        {"identifier": marker},
        {"uri": marker, "data": marker},
        {"a": {"b": [marker]}},
        f"2026-{marker}",
        f"https://{marker}[",
        f"file:///{marker}" * 500,
        marker * 3000,
    ]


def test_no_value_of_a_message_gets_into_its_refusal() -> None:
    refused = 0
    for number, path in enumerate(paths(FULL)):
        for value in in_some_shape(MARKER)[number % 3 :: 3]:
            error = refusal(json.dumps(replaced(path, value)).encode())
            if error is not None:
                refused += 1
                assert MARKER not in f"{error} {error.problems} {error!r}", path
                assert error.problems
            if error is not None and path != ("job_id",):
                assert error.job_id in {"visit-17", None}
    assert refused > 100


@given(st.binary(max_size=200))
def test_any_bytes_are_a_job_or_an_invalid_job(message: bytes) -> None:
    refusal(message)


@given(json_values)
def test_any_json_is_a_job_or_an_invalid_job(value: Any) -> None:
    refusal(json.dumps(value).encode())
    refusal(json.dumps({**SMALLEST, "metadata": value}).encode())
    refusal(json.dumps({"specversion": "1.0", "data": value}).encode())


@given(st.sampled_from(list(paths(FULL))[1:]), json_values)
def test_a_job_with_anything_anywhere_is_a_job_or_an_invalid_job(path: Path, value: Any) -> None:
    error = refusal(json.dumps(replaced(path, value)).encode())
    assert error is None or all(problem.expected and problem.field for problem in error.problems)


words = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
metadata = st.dictionaries(
    words,
    st.recursive(
        st.none() | st.booleans() | finite | words, lambda inner: st.lists(inner, max_size=3), max_leaves=5
    ),
    max_size=4,
)


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    """A strategy for jobs that the contract allows."""
    value = deepcopy(FULL)
    for key in draw(st.sets(st.sampled_from(sorted(FULL.keys() - SMALLEST.keys())))):
        del value[key]
    value["job_id"] = draw(words)
    value["metadata"] = draw(metadata)
    value["pace"] = draw(st.floats(0.01, 1000) | st.integers(1, 1000))
    value["events"] = draw(st.lists(st.sampled_from(["progress", "transcript", "facts"]), max_size=3))
    value["audio"] = draw(st.sampled_from([{"uri": "S3://bucket/key"}, {"data": "AAAA"}, FULL["audio"]]))
    return value


@given(jobs())
def test_a_good_job_stays_the_same_job_through_json(value: dict[str, Any]) -> None:
    for message in json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=2):
        job = Job.from_message(message.encode())
        assert Job.from_message(job.model_dump_json().encode()) == job
        assert job.metadata == value["metadata"]
        assert (job.job_id, job.pace) == (value["job_id"], value["pace"])
