"""The job: what a producer asks for. A contract, version 1.

`Job.from_message` is the only way from bytes to a job. All code after it has a `Job` and no dictionary.
"""

import base64
import binascii
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json, to_json

from worker.contract.message import InvalidJob, decode, problems_of
from worker.contract.nulls import NullMeansAbsent, without_nulls

MAX_INLINE_AUDIO_BYTES = 256 * 1024
MAX_METADATA_BYTES = 16 * 1024
_SCHEMES = frozenset({"file", "http", "https", "s3", "gs", "az", "abfs", "abfss"})

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


class _Model(NullMeansAbsent):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _known_scheme(uri: str) -> str:
    scheme, colon, _ = uri.partition(":")
    try:
        urlsplit(uri)
    except ValueError:  # brackets that do not close, for example
        colon = ""
    if not colon or scheme.lower() not in _SCHEMES:
        raise ValueError(
            "expected a URI that starts with file:, https:, http:, s3:, gs:, az:, abfs: or abfss:, "
            "such as https://ehr.example/audio/4711.wav"
        )
    return uri


def _base64_audio(data: str) -> str:
    try:
        size = len(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        raise ValueError(
            "expected base64 text (RFC 4648, section 4) without line breaks, such as UklGRiQAAABXQVZF"
        ) from None
    if not 0 < size <= MAX_INLINE_AUDIO_BYTES:
        raise ValueError(f"expected 1 to {MAX_INLINE_AUDIO_BYTES} bytes of audio; use a URI for more")
    return data


class Audio(_Model):
    """Where the audio is: a `uri`, or inline `data`; exactly one of them."""

    uri: Annotated[str, Field(max_length=8192), AfterValidator(_known_scheme)] | None = None
    data: Annotated[str, AfterValidator(_base64_audio)] | None = None
    media_type: Annotated[str, StringConstraints(pattern=r"^audio/[a-zA-Z0-9.+-]+( *;.{0,200})?$")] | None = (
        None
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.uri is None) == (self.data is None):
            raise ValueError("expected exactly one of the keys uri and data")
        return self

    @property
    def inline(self) -> bytes | None:
        """The inline audio, decoded, or None when there is a URI."""
        return None if self.data is None else base64.b64decode(self.data)


class Period(_Model):
    """When the encounter took place."""

    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None


class Encounter(_Model):
    """The encounter as Corti records it (PROTOCOL.md 3.1). `identifier` must be unique for the tenant."""

    identifier: Text | None = None
    status: Status = "planned"
    type: EncounterType = "consultation"
    period: Period | None = None
    title: Text | None = None


class Patient(_Model):
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


class Participant(_Model):
    """Who speaks on a channel (PROTOCOL.md 4.3)."""

    channel: Annotated[int, Field(ge=0, le=7)]
    role: Literal["doctor", "patient", "multiple"]


class Replacement(_Model):
    """Words to replace in the transcript (PROTOCOL.md 4.3)."""

    find: Text
    replace: Annotated[str, StringConstraints(max_length=1024)]


class Transcription(_Model):
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


class Output(_Model):
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


class Job(_Model):
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
    pace: Annotated[float, Field(gt=0, le=1000)] = 1.0
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


class _JobIdOnly(_Model):
    job_id: JobId
