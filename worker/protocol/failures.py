"""What the service's refusals mean for a job (PROTOCOL.md 4.4)."""

from worker.contract.errors import JobError, PermanentError, Reason, TransientError
from worker.network.http_status import UNAUTHORIZED, passes
from worker.protocol.messages import ConfigStatus, StreamError

_MOST_NOTED = 20
_CLIENT_ERRORS = range(400, 500)


def of_config_status(message: ConfigStatus) -> JobError:
    """The error for a configuration that was not accepted."""
    if message.timed_out:
        return TransientError(Reason.CONFIG_TIMEOUT, "the service did not get the configuration in time")
    return PermanentError(
        Reason.CONFIG_DENIED,
        "the service refused the configuration: check transcription.language, output.locale, "
        "the participants' roles and the audio format",
    )


def of_stream_error(error: StreamError) -> JobError:
    """The error for a stream that ended after an `error` message."""
    if error.code.lower().startswith("audio"):
        return PermanentError(
            Reason.AUDIO_UNSUPPORTED, "the service could not read the audio: check its format and media_type"
        )
    status = error.status or 0
    if status in _CLIENT_ERRORS and status != UNAUTHORIZED and not passes(status):
        return PermanentError(Reason.STREAM_REFUSED, "the service refused the stream with an error message")
    return TransientError(Reason.STREAM_INTERRUPTED, "the service reported an error and ended the stream")


class NotedErrors:
    """The `error` messages of one stream. Not every one of them ends the stream.

    Only the first ones are kept, and the number of the others: a service that sends one for each chunk must
    fill neither the memory nor the result.
    """

    def __init__(self) -> None:
        self._first: list[str] = []
        self._more = 0

    def add(self, error: StreamError) -> None:
        """Another one arrived."""
        if len(self._first) < _MOST_NOTED:
            self._first.append(f"stream error {error.code}")
        else:
            self._more += 1

    @property
    def texts(self) -> tuple[str, ...]:
        """What a result says of them."""
        return (*self._first, *((f"and {self._more} more",) if self._more else ()))
