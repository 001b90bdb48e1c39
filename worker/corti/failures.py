"""What the service's refusals mean for a job (protocol, section 4.4)."""

from worker.corti.messages import ConfigStatus, StreamError
from worker.errors import JobError, PermanentError, Reason, TransientError

_CLIENT_ERRORS = range(400, 500)
_WORTH_RETRYING = frozenset({401, 408, 425, 429})


def of_config_status(message: ConfigStatus) -> JobError:
    """Of a configuration that was not accepted."""
    if message.timed_out:
        return TransientError(Reason.CONFIG_TIMEOUT, "the service did not get the configuration in time")
    return PermanentError(
        Reason.CONFIG_DENIED,
        "the service refused the configuration: check transcription.language, output.locale, "
        "the participants' roles and the audio format",
    )


def of_stream_error(error: StreamError) -> JobError:
    """Of an `error` message that turned out to be the end."""
    if error.code.lower().startswith("audio"):
        return PermanentError(
            Reason.AUDIO_UNSUPPORTED, "the service could not read the audio: check its format and media_type"
        )
    if error.status in _CLIENT_ERRORS and error.status not in _WORTH_RETRYING:
        return PermanentError(Reason.STREAM_REFUSED, "the service refused the stream with an error message")
    return TransientError(Reason.STREAM_INTERRUPTED, "the service reported an error and ended the stream")
