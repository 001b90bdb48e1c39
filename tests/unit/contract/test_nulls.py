"""Null for a key that is not required means that the key is absent; serializers write such keys."""

import json
from typing import Any

import pytest

from tests.unit.examples import FULL, SMALLEST
from worker.contract.job import Job
from worker.contract.message import InvalidJob


def read(value: dict[str, Any]) -> Job:
    return Job.from_message(json.dumps(value).encode())


def paths(value: dict[str, Any], start: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every key of an example, without those in metadata, which are the producer's."""
    found = []
    for key, item in value.items():
        found.append((*start, key))
        if isinstance(item, dict) and key != "metadata":
            found += paths(item, (*start, key))
    return found


def changed(path: tuple[str, ...], *, null: bool) -> dict[str, Any]:
    """The full example with one key set to null, or without the key."""
    value = json.loads(json.dumps(FULL))
    place = value
    for key in path[:-1]:
        place = place[key]
    if null:
        place[path[-1]] = None
    else:
        del place[path[-1]]
    return dict(value)


def outcome(value: dict[str, Any]) -> object:
    try:
        return read(value)
    except InvalidJob as refusal:
        return refusal.problems


@pytest.mark.parametrize("path", paths(FULL), ids=".".join)
def test_null_and_absence_come_to_the_same_for_every_key(path: tuple[str, ...]) -> None:
    assert outcome(changed(path, null=True)) == outcome(changed(path, null=False))


def test_null_within_lists_of_objects_means_absent_too() -> None:
    participants = [{"channel": 0, "role": "doctor", "name": None}]
    with pytest.raises(InvalidJob) as refusal:
        read({**SMALLEST, "transcription": {"language": "en", "participants": participants}})
    (problem,) = refusal.value.problems
    assert (problem.field, problem.expected[:11]) == ("transcription.participants.0.name", "no such key")


def test_the_producers_own_nulls_stay() -> None:
    metadata = {"a": None, "b": [None, {"c": None}]}
    assert read({**SMALLEST, "events": None, "metadata": metadata}).metadata == metadata


def test_a_null_is_no_way_around_the_list_of_keys() -> None:
    with pytest.raises(InvalidJob) as refusal:
        read({**SMALLEST, "colour": None})
    assert [problem.field for problem in refusal.value.problems] == ["colour"]
