"""What can go wrong with a download, as errors of ours. No text holds a URL or the words of a library."""

from datetime import datetime

import requests
import urllib3

from worker.contract.errors import JobError, PermanentError, Reason, TransientError
from worker.network.http_status import passes, retry_after

#: Exceptions of requests while a download is opened, and of urllib3 while it is read; most specific first.
FAILURES: tuple[tuple[type[Exception], type[JobError], str], ...] = (
    (requests.exceptions.InvalidURL, PermanentError, "audio.uri is no valid URL"),
    (requests.exceptions.InvalidSchema, PermanentError, "audio.uri redirects to something that is not http"),
    (requests.exceptions.MissingSchema, PermanentError, "audio.uri is no valid URL"),
    (requests.exceptions.TooManyRedirects, PermanentError, "audio.uri redirects in circles"),
    (requests.exceptions.SSLError, TransientError, "TLS to the audio's server failed"),
    (requests.exceptions.Timeout, TransientError, "the audio's server did not answer in time"),
    (requests.exceptions.RequestException, TransientError, "the download of the audio broke off"),
    (urllib3.exceptions.SSLError, TransientError, "TLS to the audio's server failed"),
    (urllib3.exceptions.HTTPError, TransientError, "the download of the audio broke off"),
)


class AttemptOver(TransientError):
    """A transient error that another connection cannot mend: only the next attempt of the job can help."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.AUDIO_UNREACHABLE, detail)


def mapped(error: Exception) -> JobError:
    """What an exception of requests or urllib3 means for the job."""
    for kind, ours, text in FAILURES:
        if isinstance(error, kind):
            return ours(Reason.AUDIO_UNREACHABLE, f"{text} ({type(error).__name__})")
    raise error


def refused(text: str) -> PermanentError:
    """The error for a download that no attempt will bring."""
    return PermanentError(Reason.AUDIO_UNREACHABLE, text)


def refusal(response: requests.Response, now: datetime) -> JobError:
    """The error for an answer whose status is none of the expected ones."""
    text = f"the audio's server answered HTTP {response.status_code}"
    if passes(response.status_code):
        wait = retry_after(response.headers.get("Retry-After"), now)
        return TransientError(Reason.AUDIO_UNREACHABLE, text, wait)
    return refused(text)


def too_large() -> PermanentError:
    """The error for more bytes than a download may have."""
    return PermanentError(
        Reason.AUDIO_TOO_LARGE,
        "the audio is larger than downloads may be: see CORTI_WORKER_DOWNLOAD_MAX_BYTES",
    )


def silent() -> TransientError:
    """The error for a server that sent nothing for too long."""
    return TransientError(Reason.AUDIO_UNREACHABLE, "the audio's server did not answer in time")


def cut_short() -> TransientError:
    """The error for a body that has fewer bytes than announced."""
    return TransientError(Reason.AUDIO_UNREACHABLE, "the download of the audio ended before its end")


def too_slow() -> AttemptOver:
    """The error for a server that sends, but too little."""
    return AttemptOver(
        "the audio's server sends too slowly: less than the share of real time in "
        "CORTI_WORKER_DOWNLOAD_MIN_SPEED, over half a minute"
    )


def too_much() -> AttemptOver:
    """The error for a body that has more bytes than announced."""
    return AttemptOver("the audio's server sent more than it had announced; the next attempt begins anew")


def changed() -> AttemptOver:
    """The error for a file that is another one than at the beginning of the download."""
    return AttemptOver(
        "the audio's file has changed at its server while it was read; the next attempt reads the new one"
    )


def no_ranges() -> AttemptOver:
    """The error for a server that sends the whole file where a part of it was asked for."""
    return AttemptOver(
        "the audio's server sent the whole file where a part of it was asked for, so that the download "
        "cannot go on where it stopped; the next attempt begins anew"
    )


def wrong_part() -> AttemptOver:
    """The error for a server that sends another part than the one that was asked for."""
    return AttemptOver(
        "the audio's server sent another part of the file than the one that was asked for, so that the "
        "download cannot go on where it stopped; the next attempt begins anew"
    )
