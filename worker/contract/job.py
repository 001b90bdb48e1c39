"""The job: what a producer asks for. A contract, version 1.

`Job.from_message` is the only way from bytes to a job. All code after it has a `Job` and no dictionary.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)
from pydantic_core import from_json, to_json

from worker.contract.audio import Audio
from worker.contract.message import InvalidJob, decode, problems_of
from worker.contract.nulls import Strict, without_nulls

MAX_METADATA_BYTES = 16 * 1024
FASTEST = 1000.0

#: A restricted alphabet, because the job id is the one value of a job that logs show: with it,
#: nobody can put a sentence or a name with spaces there.
JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$")]
QueueName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Status = Literal["planned", "in-progress", "on-hold", "completed", "cancelled", "deleted"]
EncounterType = Literal["first_consultation", "consultation", "emergency", "inpatient", "outpatient"]
Retention = Literal["retain", "none"]
LiveEvent = Literal["progress", "transcript", "facts"]
Role = Literal["doctor", "patient", "multiple"]


def _fastest(pace: object) -> object:
    return FASTEST if pace == "max" else pace


_TimesRealTime = Annotated[float, Field(gt=0, le=FASTEST)]

#: Times real time. `max` stands for the fastest: sending then waits for nothing but the service, because a
#: stream whose socket is full is sent no more until there is room.
Pace = Annotated[
    float,
    BeforeValidator(_fastest, json_schema_input_type=_TimesRealTime | Literal["max"]),
    Field(gt=0, le=FASTEST),
]


class Period(Strict):
    """When the encounter took place."""

    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None


class Encounter(Strict):
    """The encounter as Corti records it (PROTOCOL.md 3.1). `identifier` must be unique for the tenant."""

    identifier: Text | None = None
    status: Status = "planned"
    type: EncounterType = "consultation"
    period: Period | None = None
    title: Text | None = None


class Patient(Strict):
    """The patient, passed on to Corti as given (PROTOCOL.md 3.1)."""

    identifier: Text
    name: Text | None = None
    gender: Literal["male", "female", "unknown", "other"] | None = None
    birth_date: (
        Annotated[
            str,
            StringConstraints(
                pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2}))?$"
            ),
        ]
        | None
    ) = None
    pronouns: Text | None = None


class Participant(Strict):
    """Who speaks on a channel (PROTOCOL.md 4.3)."""

    channel: Annotated[int, Field(ge=0, le=7)]
    role: Role


class Replacement(Strict):
    """Words to replace in the transcript (PROTOCOL.md 4.3)."""

    find: Text
    replace: Annotated[str, StringConstraints(max_length=1024)]


class Transcription(Strict):
    """How to transcribe (PROTOCOL.md 4.3)."""

    language: Language
    diarize: bool = False
    multichannel: bool = False
    participants: Annotated[tuple[Participant, ...], Field(min_length=1, max_length=8)] = (
        Participant(channel=0, role="multiple"),
    )
    keyterms: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=50)], ...], Field(max_length=1000)
    ] = ()
    replacements: Annotated[tuple[Replacement, ...], Field(max_length=1000)] = ()


class Output(Strict):
    """What to derive from the transcript (PROTOCOL.md 4.3). `locale` defaults to the spoken language."""

    mode: Literal["facts", "transcription"] = "facts"
    locale: Language | None = None
    fact_interval: Literal["fixed", "fast_init"] = "fixed"
    retention: Retention | None = None


def _small_metadata(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    text = to_json(metadata)
    if len(text) > MAX_METADATA_BYTES:
        raise ValueError(f"expected at most {MAX_METADATA_BYTES} bytes of JSON")
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError:
        # 1e999 is JSON, but it reads as infinity, and no event could echo that.
        raise ValueError("expected no number that is out of a double's range") from None
    return metadata


class Job(Strict):
    """One consultation to transcribe. `job_id` is its name for ever and the idempotency key."""

    model_config = ConfigDict(title="corti.job.v1")

    job_id: JobId
    audio: Audio
    encounter: Encounter = Encounter()
    patient: Patient | None = None
    assigned_user_id: (
        Annotated[
            str,
            StringConstraints(
                pattern=r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
            ),
        ]
        | None
    ) = None
    transcription: Transcription
    output: Output = Output()
    pace: Pace = 1.0
    tenant: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    events: Annotated[tuple[LiveEvent, ...], Field(max_length=3)] = ()
    reply_to: QueueName | None = None
    not_after: AwareDatetime | None = None
    traceparent: (
        Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]
        | None
    ) = None
    metadata: Annotated[dict[str, JsonValue], AfterValidator(_small_metadata)] = Field(default_factory=dict)

    @property
    def encounter_identifier(self) -> str:
        """The identifier Corti gets: the producer's, or else the job id."""
        return self.encounter.identifier or self.job_id

    @classmethod
    def from_message(cls, body: bytes) -> Self:
        """Read a job from the body of a message: a plain job, or a CloudEvent with the job as `data`.

        Args:
            body: UTF-8 JSON, at most 1 MiB.

        Raises:
            InvalidJob: With every fault found; none of them holds a value of the message.
        """
        text, value = decode(body)
        # Most messages have no null, and pydantic reads them as they came.
        if b"null" in text:
            text = to_json(without_nulls(value, cls))
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InvalidJob(problems_of(error), _readable_job_id(value)) from None


def _readable_job_id(value: dict[str, Any]) -> str | None:
    try:
        return _JobIdOnly.model_validate({"job_id": value.get("job_id")}).job_id
    except ValidationError:
        return None


class _JobIdOnly(Strict):
    job_id: JobId
