"""The events we publish: CloudEvents 1.0, structured JSON. A contract.

The `id` of a final event depends only on the job, never on which attempt or which worker made it, so that a
consumer drops a repeat by its id. A job may be streamed several times. A live event belongs to one of these
times, and its id names that time, because its content differs from one time to the next.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue
from pydantic_core import to_json

from worker.contract.errors import Reason
from worker.contract.job import Role

CONTENT_TYPE = "application/cloudevents+json"
SOURCE = "corti-worker"

STARTED: Final = "corti.job.started.v1"
PROGRESS: Final = "corti.job.progress.v1"
SEGMENTS: Final = "corti.transcript.segments.v1"
FACTS: Final = "corti.facts.updated.v1"
COMPLETED: Final = "corti.job.completed.v1"
FAILED: Final = "corti.job.failed.v1"

EventType = Literal[
    "corti.job.started.v1",
    "corti.job.progress.v1",
    "corti.transcript.segments.v1",
    "corti.facts.updated.v1",
    "corti.job.completed.v1",
    "corti.job.failed.v1",
]
#: Exactly one event of these types ends a job.
FINAL = frozenset({COMPLETED, FAILED})
#: What an event is called in its id. Final events share a name, so that a job can never have two.
_NAMES: dict[EventType, str] = {
    STARTED: "started",
    PROGRESS: "progress",
    SEGMENTS: "transcript",
    FACTS: "facts",
    COMPLETED: "result",
    FAILED: "result",
}


#: JSON has no infinity and no NaN: an event with one would be unreadable for its consumer.
_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Model(BaseModel):
    model_config = _STRICT


@dataclass(frozen=True, slots=True)
class HeardSegment:
    """One piece of transcript as the service sent it. Times are seconds from the start of the audio.

    A plain dataclass, because a running job keeps all of its segments: a model is four times as large.
    It has no role, because a role is known from the job and the channel; see `Segment`.
    """

    __pydantic_config__ = _STRICT

    text: str
    start: float
    end: float
    channel: int
    speaker: int | None
    final: bool

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise ValueError("the times of a segment must be finite")


@dataclass(frozen=True, slots=True)
class Segment(HeardSegment):
    """One piece of transcript as events have it: with the role of who speaks, or null where none is known.

    It is made when an event is made. So the segments that a running job keeps are no larger, and a job
    without live events names each role once, at its end.
    """

    role: Role | None


@dataclass(frozen=True, slots=True)
class Fact:
    """One clinical fact. `discarded` facts occur only in `corti.facts.updated.v1`: take them away."""

    __pydantic_config__ = _STRICT

    id: str
    text: str
    group: str
    source: str
    discarded: bool
    created_at: str | None
    updated_at: str | None


class AudioFigures(_Model):
    """What was streamed: seconds by the audio's own clock, and the bytes sent."""

    seconds: float
    bytes: int


class ResultAudio(AudioFigures):
    """The audio of a result: what it was, what was sent, and how many of its seconds have speech.

    `source_format` and `sent_format` are texts for people, such as `aac in MP4, 48000 Hz, 1 channel` and
    `audio/mp4 (repackaged)`. A second has speech if it lies in at least one segment of any channel. Seconds
    with and without speech add up to `seconds`.
    """

    source_format: str
    sent_format: str
    speech_seconds: float
    silence_seconds: float

    @classmethod
    def of(cls, figures: AudioFigures, speech: float, source_format: str, sent_format: str) -> Self:
        """The figures of a stream with the seconds of speech in it, in thousandths of a second."""
        spoken = round(speech, 3)
        return cls(
            seconds=figures.seconds,
            bytes=figures.bytes,
            source_format=source_format,
            sent_format=sent_format,
            speech_seconds=spoken,
            silence_seconds=max(0.0, round(figures.seconds - spoken, 3)),
        )


class Started(_Model):
    """Data of `corti.job.started.v1`."""

    attempt: int
    metadata: dict[str, JsonValue]


class Progress(_Model):
    """Data of `corti.job.progress.v1`: seconds of audio sent so far, of a total if it is known."""

    audio_seconds: float
    total_seconds: float | None


class Segments(_Model):
    """Data of `corti.transcript.segments.v1`: segments as they arrived, interim ones included."""

    segments: tuple[Segment, ...]


class Facts(_Model):
    """Data of `corti.facts.updated.v1`: new and changed facts, newest state of each."""

    facts: tuple[Fact, ...]


class Completed(_Model):
    """Data of `corti.job.completed.v1`: the whole result, segments by time, facts not discarded.

    `text` is the transcript for people to read; see `worker.protocol.speakers.plain_text`.
    """

    interaction_id: str
    segments: tuple[Segment, ...]
    text: str
    facts: tuple[Fact, ...]
    audio: ResultAudio
    credits: float | None
    warnings: tuple[str, ...]
    attempts: int
    metadata: dict[str, JsonValue]


class Failed(_Model):
    """Data of `corti.job.failed.v1`.

    `cause` is the reason of the last attempt when `reason` is `attempts_exhausted` or `expired`.
    """

    reason: Reason
    detail: str
    cause: Reason | None
    attempts: int
    interaction_id: str | None
    metadata: dict[str, JsonValue]


Data = Started | Progress | Segments | Facts | Completed | Failed


class Event(_Model):
    """One CloudEvent. `subject` is the job id."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str = SOURCE
    type: EventType
    subject: str
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    traceparent: str | None = None
    data: Data

    def to_json(self) -> bytes:
        """The event as the bytes of a message; absent extensions are left out, as CloudEvents asks."""
        value: dict[str, Any] = self.model_dump(mode="json")
        if self.traceparent is None:
            del value["traceparent"]
        return to_json(value)


def event_id(job_id: str, event_type: EventType, sequence: int = 0, run: str = "") -> str:
    """The deterministic id of an event.

    Args:
        job_id: The job.
        event_type: What it is.
        sequence: Number of this event among those of its type, from 1; 0 where there is only one.
        run: Which time the job is streamed, for an event that belongs to that time only; else empty.
    """
    parts = (f"{job_id}/{_NAMES[event_type]}", run, str(sequence) if sequence else "")
    return "/".join(part for part in parts if part)
