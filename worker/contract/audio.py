"""The audio of a job: where it is, and which of its channels are sent. Part of the contract of the job."""

import base64
import binascii
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from worker.contract.nulls import Strict

MAX_INLINE_AUDIO_BYTES = 256 * 1024
_SCHEMES = frozenset({"file", "http", "https", "s3", "gs", "az", "abfs", "abfss"})


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


def _different(channels: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(channels)) < len(channels):
        raise ValueError("expected different channels, such as [1, 0]")
    return channels


class Audio(Strict):
    """Where the audio is: a `uri`, or inline `data`; exactly one of them.

    `channels` are those to send, counted from 0, in that order; empty for all of them as they are. With `mix`
    all are mixed into one.
    """

    uri: Annotated[str, Field(max_length=8192), AfterValidator(_known_scheme)] | None = None
    data: Annotated[str, AfterValidator(_base64_audio)] | None = None
    media_type: Annotated[str, StringConstraints(pattern=r"^audio/[a-zA-Z0-9.+-]+( *;.{0,200})?$")] | None = (
        None
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    when_truncated: Literal["refuse", "transcribe"] = "transcribe"
    channels: Annotated[
        tuple[Annotated[int, Field(ge=0, le=63)], ...],
        Field(max_length=8),
        AfterValidator(_different),
    ] = ()
    mix: bool = False

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.channels and self.mix:
            raise ValueError("expected either the key channels or mix: true")
        return self

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.uri is None) == (self.data is None):
            raise ValueError("expected exactly one of the keys uri and data")
        return self

    @property
    def inline(self) -> bytes | None:
        """The inline audio, decoded, or None when there is a URI."""
        return None if self.data is None else base64.b64decode(self.data)
