"""What can go wrong with a job, and whether trying again can help.

::

    JobError                  carries a reason code of the closed list below
    ├── TransientError        another attempt can help; may carry a delay the other side asked for
    │   └── TokenRefused      the access token was refused (401): refresh once, then transient
    └── PermanentError        no attempt will help: dead letter at once
    InvalidJob                a message that is no job (worker/contract/message.py)

Errors are classified once, at the adapter that knows the status code or the library's exception. Texts
are ours and static: the words of a library or of a server may hold a URL with a token or a patient's name, so
they never travel further than the adapter.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The closed list of reason codes. A code is a contract: never rename one, only add."""

    INVALID_JOB = "invalid_job"
    UNKNOWN_TENANT = "unknown_tenant"
    AUDIO_UNREACHABLE = "audio_unreachable"
    AUDIO_UNSUPPORTED = "audio_unsupported"
    AUDIO_EMPTY = "audio_empty"
    AUDIO_NO_SOUND = "audio_no_sound"
    AUDIO_ENCRYPTED = "audio_encrypted"
    AUDIO_CHANNELS = "audio_channels"
    AUDIO_TOO_SHORT = "audio_too_short"
    AUDIO_TOO_LONG = "audio_too_long"
    AUDIO_TOO_LARGE = "audio_too_large"
    AUDIO_TRUNCATED = "audio_truncated"
    AUDIO_DAMAGED = "audio_damaged"
    AUDIO_MISMATCH = "audio_mismatch"
    AUTH_REJECTED = "auth_rejected"
    FORBIDDEN = "forbidden"
    INTERACTION_REFUSED = "interaction_refused"
    DUPLICATE_ENCOUNTER = "duplicate_encounter"
    CONFIG_DENIED = "config_denied"
    CONFIG_TIMEOUT = "config_timeout"
    STREAM_REFUSED = "stream_refused"
    STREAM_INTERRUPTED = "stream_interrupted"
    STREAM_SILENT = "stream_silent"
    QUOTA_EXHAUSTED = "quota_exhausted"
    RATE_LIMITED = "rate_limited"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    EXPIRED = "expired"
    UNDELIVERABLE = "undeliverable"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    INTERNAL_ERROR = "internal_error"


class JobError(Exception):
    """A job could not go on, for a reason on the closed list.

    Args:
        reason: The code that dead letters, events, metrics and logs carry.
        detail: One static sentence for a reader: what happened and what to do next. No values of
            the job, no text of a server or of a library.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class TransientError(JobError):
    """Trying again can help.

    Args:
        reason: See `JobError`.
        detail: See `JobError`.
        retry_after: Seconds the other side asked us to wait, if it did.
    """

    def __init__(self, reason: Reason, detail: str, retry_after: float | None = None) -> None:
        super().__init__(reason, detail)
        self.retry_after = retry_after


class TokenRefused(TransientError):
    """The service refused the access token. One fresh token is worth one more try at once."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.AUTH_REJECTED, detail)


class PermanentError(JobError):
    """No further attempt can help."""
