"""Stores of obstore: how many are made, and with what they are made."""

from typing import Any

import pytest
from pydantic import SecretStr

from worker.audio import stores as module
from worker.audio.stores import Stores
from worker.network.buckets import Location
from worker.settings.credentials import Credentials

_VISITS = Location("s3", "visits", "a")


def stores() -> Stores:
    return Stores(endpoint=None, region=None, allow_http=False, ca_file=None, timeout=7.0)


def key(name: str, token: str | None = None) -> Credentials:
    values = {"aws_access_key_id": name, "aws_secret_access_key": "any"}
    return {key: SecretStr(value) for key, value in {**values, "aws_session_token": token or ""}.items()}


def test_jobs_of_a_bucket_with_the_same_credentials_share_a_store() -> None:
    made = stores()
    first = made.get(_VISITS, key("A"))
    assert made.get(Location("s3", "visits", "b"), key("A")) is first
    others = [
        made.get(_VISITS, key("B")),
        made.get(_VISITS, key("A", "token")),
        made.get(_VISITS, None),
        made.get(Location("s3", "others", "a"), key("A")),
        made.get(Location("gs", "visits", "a"), {}),
    ]
    assert len({id(store) for store in (first, *others)}) == 6


def test_the_stores_that_were_not_used_for_longest_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    made = stores()
    first, second = made.get(_VISITS, key("A")), made.get(_VISITS, key("B"))
    assert made.get(_VISITS, key("A")) is first
    made.get(_VISITS, key("C"))
    assert len(made._kept) == 2
    assert made.get(_VISITS, key("A")) is first
    assert made.get(_VISITS, key("B")) is not second


def test_silence_is_limited_and_the_length_of_an_answer_is_not() -> None:
    """By its own default the library ends an answer after 30 s, and a minute of slow speech takes longer."""
    options: Any = stores().get(_VISITS, key("A")).client_options
    told = [options[name] for name in ("timeout", "read_timeout", "connect_timeout")]
    assert told == ["1day", "7s", "7s"]
