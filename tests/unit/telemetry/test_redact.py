"""Redaction, the logs' second protection: of tokens, credentials, and all of a URL beside its host."""

import json
from typing import Any

import pytest

from worker.telemetry.redact import redact, text

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_x"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            f"wss://api.eu.corti.app/streams?tenant-name=base&token=Bearer%20{TOKEN}",
            "wss://api.eu.corti.app/...",
        ),
        ("redis://:s3cret@redis.internal:6379/0", "redis://redis.internal:6379/..."),
        ("amqps://user:p%40ss@mq.internal:5671//", "amqps://mq.internal:5671//"),
        ("amqps://user:p/s@s@mq.internal:5671//", "amqps://..."),
        ("amqps://user:p@ss@mq.internal:5671", "amqps://mq.internal:5671"),
        ("see https://docs.corti.ai.", "see https://docs.corti.ai."),
        ("GET https://ehr.example/audio/Ada.wav?sig=x failed", "GET https://ehr.example/... failed"),
        ("file:///audio/Ada%20Example.wav", "file:///..."),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer [redacted]"),
        ("authorization: bearer abc.def", "authorization: Bearer [redacted]"),
        (f"token {TOKEN} refused", "token [redacted] refused"),
        ("access_token=abc&x=1", "access_token=[redacted]&x=1"),
        ("client_secret=abc password=def", "client_secret=[redacted] password=[redacted]"),
    ],
)
def test_secrets_in_texts_are_taken_out(given: str, shown: str) -> None:
    assert text(given) == shown
    assert redact("detail", [given, {"a": given}]) == [shown, {"a": shown}]


@pytest.mark.parametrize(
    "given",
    [
        "job_completed",
        "visit-4711",
        "2026-11-24T00:12:56.123456Z",
        "Received and deleted unknown message %r",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "corti.jobs.urgent",
        "the service refused the configuration: check output.locale",
        17,
        0.25,
        True,
        None,
    ],
)
def test_texts_without_secrets_stay_unchanged(given: Any) -> None:
    assert redact("detail", given) == given


@pytest.mark.parametrize(
    "name", ["token", "access_token", "client_secret", "Authorization", "redis_password"]
)
def test_a_secrets_name_is_enough(name: str) -> None:
    assert redact(name, "x") == redact(name, b"x") == "[redacted]"
    assert redact("fields", {name: "x"}) == {name: "[redacted]"}


def test_what_is_neither_text_nor_number_is_withheld() -> None:
    assert redact("error", ValueError("Ada Example")) == "<ValueError withheld>"
    assert redact("body", b"Ada Example") == "<bytes withheld>"
    assert json.dumps(redact("all", {"a": {1, 2}, "b": (None, object())}))
