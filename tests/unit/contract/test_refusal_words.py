"""Every refusal of the contract is in words: no regular expression, no jargon, no value, and an example."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from tests.unit.examples import FULL
from worker.contract.job import Job
from worker.contract.message import InvalidJob, Problem
from worker.contract.refusal_words import EXAMPLES

#: Values of every JSON type, and texts that no key allows; a value that is valid for a key is skipped there.
VIOLATIONS: tuple[Any, ...] = (
    *(True, 7, -1, 1.5, 10**6, "", "a b\n", "é" * 9000, "secret", "1", [], ["secret"] * 2000),
    *([{}], {}, {"secret": 1}, [[]], "2026-03-01T12:00:00", 1e300),
)
JARGON = re.compile(r"\^|\\d|\[A-Z|\[0-9|\$|Input|String should|pydantic|type=|valid (string|number|integer)")


def keys(model: type[BaseModel], start: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key of the contract; `*` stands for the items of a list."""
    for name, field in model.model_fields.items():
        path = (*start, name)
        yield path
        if name != "metadata":
            yield from inside(field.annotation, path)


def inside(annotation: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from keys(annotation, path)
    listed = getattr(annotation, "__origin__", None) is tuple
    if listed:
        yield (*path, "*")
    for part in get_args(annotation):
        yield from inside(part, (*path, "*") if listed else path)


PATHS = sorted(set(keys(Job)))


def with_value(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The full example with another value at a path."""
    changed = json.loads(json.dumps(FULL))
    place: Any = changed
    for key in path[:-1]:
        if key == "*":
            place = place[0]
        else:
            if not place.get(key):
                place[key] = json.loads(EXAMPLES[".".join(path[: path.index(key) + 1])])
            place = place[key]
    if path[-1] == "*":
        place[:] = [value]
    else:
        place[path[-1]] = value
    return dict(changed)


def problems(value: dict[str, Any]) -> tuple[Problem, ...]:
    try:
        Job.from_message(json.dumps(value).encode())
    except InvalidJob as refusal:
        return refusal.problems
    return ()


def test_the_walk_sees_the_whole_contract() -> None:
    assert len(PATHS) > 45
    assert {("audio", "uri"), ("transcription", "participants", "*", "role"), ("events", "*")} <= set(PATHS)


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_every_refusal_of_a_key_is_in_words(path: tuple[str, ...]) -> None:
    refused = [
        (value, problem)
        for value in VIOLATIONS
        for problem in problems(with_value(path, value))
        if value != {}
    ]
    assert refused, "no value violates this key"
    for value, problem in refused:
        text = problem.expected
        assert not JARGON.search(text), text
        assert text.startswith(("expected ", "a required key is missing", "no such key")), text
        assert "another value" not in text, f"{value!r:.40}: the contract has no words for this fault"
        assert "secret" not in text
        assert "such as" in text or text.startswith(
            (
                "no such key",
                "expected one of",
                "expected 1 to 2",
                "expected at most 16384",
                "expected exactly one",
            )
        )


def test_every_key_has_an_example_and_each_example_is_good() -> None:
    wanted = {".".join(path).replace(".*.", ".") for path in PATHS}
    assert wanted == set(EXAMPLES)
    for name, example in EXAMPLES.items():
        if " or " in example or "..." in example:
            continue
        path = next(path for path in PATHS if ".".join(path).replace(".*.", ".") == name)
        found = [
            problem for problem in problems(with_value(path, json.loads(example))) if problem.field != "audio"
        ]
        assert found == [], name
