"""Jobs and messages that the tests share."""

import json
from typing import Any

from worker.contract.events import Fact, HeardSegment, Segment
from worker.contract.job import Job, Role

SMALLEST: dict[str, Any] = {
    "job_id": "visit-17",
    "audio": {"uri": "https://ehr.example/visit-17.wav"},
    "transcription": {"language": "en"},
}

#: A job with every key of the contract.
FULL: dict[str, Any] = {
    "job_id": "visit-17",
    "audio": {
        "uri": "https://ehr.example/visit-17.pcm",
        "media_type": "audio/pcm; rate=16000; channels=2; bits=16",
        "sha256": "ab" * 32,
    },
    "encounter": {
        "identifier": "enc-17",
        "status": "in-progress",
        "type": "first_consultation",
        "period": {"started_at": "2026-03-01T09:00:00+01:00", "ended_at": "2026-03-01T09:30:00Z"},
        "title": "Knee",
    },
    "patient": {
        "identifier": "p-4",
        "name": "Ada Example",
        "gender": "female",
        "birth_date": "1971-02-03",
        "pronouns": "she/her",
    },
    "assigned_user_id": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "transcription": {
        "language": "da-DK",
        "diarize": True,
        "multichannel": True,
        "participants": [{"channel": 0, "role": "doctor"}, {"channel": 1, "role": "patient"}],
        "keyterms": ["meniscus", "ibuprofen"],
        "replacements": [{"find": "new paragraph", "replace": ""}],
    },
    "output": {"mode": "facts", "locale": "en-US", "fact_interval": "fast_init", "retention": "none"},
    "pace": 2.5,
    "tenant": "base",
    "events": ["progress", "transcript", "facts"],
    "reply_to": "corti.results.ehr-2",
    "not_after": "2026-03-01T12:00:00Z",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "metadata": {"ward": 7, "tags": ["a", None, {"b": 1.5}]},
}


def body(**changes: Any) -> bytes:
    """The smallest job with changed keys, as a message."""
    return json.dumps({**SMALLEST, **changes}).encode()


def job(**changes: Any) -> Job:
    """The smallest job with changed keys."""
    return Job.from_message(body(**changes))


def heard(
    text: str,
    start: float,
    end: float,
    *,
    channel: int = 0,
    speaker: int | None = None,
    final: bool = True,
) -> HeardSegment:
    """A segment as the service sent it."""
    return HeardSegment(text=text, start=start, end=end, channel=channel, speaker=speaker, final=final)


def segment(
    text: str,
    start: float,
    end: float,
    *,
    channel: int = 0,
    speaker: int | None = None,
    final: bool = True,
    role: Role | None = None,
) -> Segment:
    """A segment of a transcript as events have it."""
    return Segment(text, start, end, channel, speaker, final, role)


def fact(name: str, text: str = "pain in the knee", *, discarded: bool = False) -> Fact:
    """A fact."""
    return Fact(
        id=name,
        text=text,
        group="history",
        source="core",
        discarded=discarded,
        created_at=None,
        updated_at=None,
    )
