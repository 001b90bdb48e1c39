"""Where audio comes from: a file, a download by `requests`, or the job itself. Never loaded whole.

Implements the bottom half of the `AudioLibrary` port: bytes, as many as are asked for at a time.
`worker/audio/library.py` makes chunks of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests

from worker import job as jobs
from worker.audio.file import File
from worker.audio.open_file import open_regular
from worker.audio.pace import Read
from worker.errors import JobError, PermanentError, Reason, TransientError

#: Of a download, at a time.
BLOCK_BYTES = 16 * 1024

#: Statuses whose body is the whole audio. A redirect without a target is among those that are not.
_WHOLE = frozenset({200, 203})

#: requests' exceptions while a download is opened or read, most specific first.
FAILURES: tuple[tuple[type[Exception], type[JobError], str], ...] = (
    (requests.exceptions.InvalidURL, PermanentError, "audio.uri is no valid URL"),
    (requests.exceptions.InvalidSchema, PermanentError, "audio.uri redirects to something that is not http"),
    (requests.exceptions.MissingSchema, PermanentError, "audio.uri is no valid URL"),
    (requests.exceptions.TooManyRedirects, PermanentError, "audio.uri redirects in circles"),
    (requests.exceptions.SSLError, TransientError, "TLS to the audio's server failed"),
    (requests.exceptions.Timeout, TransientError, "the audio's server did not answer in time"),
    (requests.exceptions.RequestException, TransientError, "the download of the audio broke off"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """Opened audio.

    Attributes:
        read: Gives its bytes, once and in order.
        media_type: What the server says their type is.
        at_hand: Whether reading never waits for a network.
        read_now: Reads exactly so many bytes, or raises BlockingIOError if that would take waiting.
    """

    read: Read
    media_type: str | None
    at_hand: bool
    read_now: Read | None = None


class Sources:
    """Opens audio wherever a job says it is.

    Args:
        session: For downloads.
        roots: Directories that files must lie in; none: no files are read.
        timeout: Seconds to connect, and for each read.
    """

    def __init__(self, session: requests.Session, roots: Sequence[Path], timeout: float) -> None:
        self._session = session
        self._roots = tuple(root.resolve() for root in roots)
        self._timeout = timeout

    @contextmanager
    def open(self, audio: jobs.Audio) -> Iterator[Source]:
        """Open the audio of a job.

        Raises:
            JobError: `audio_unreachable`, also while it is read.
        """
        inline = audio.inline
        if inline is not None:
            yield Source(BytesIO(inline).read, None, at_hand=True)
            return
        parts = urlsplit(audio.uri or "")
        if parts.scheme == "file":
            with self._file(unquote(parts.path), parts.netloc) as source:
                yield source
        elif parts.scheme in {"http", "https"}:
            with self._download(audio.uri or "") as source:
                yield source
        else:
            raise PermanentError(
                Reason.AUDIO_UNREACHABLE,
                "this version reads file:, https:, http: and inline audio; presign s3 objects as https URLs",
            )

    @contextmanager
    def _file(self, path: str, host: str) -> Iterator[Source]:
        if host not in {"", "localhost"}:
            raise PermanentError(
                Reason.AUDIO_UNREACHABLE, "a file: URI must not name another host (RFC 8089)"
            )
        file = open_regular(path, self._roots)
        with file:
            reading = File(file)
            now = reading.read_now if reading.can_tell else None
            yield Source(reading.read, None, at_hand=True, read_now=now)

    @contextmanager
    def _download(self, url: str) -> Iterator[Source]:
        try:
            response = self._session.get(url, stream=True, timeout=self._timeout)
        except requests.exceptions.RequestException as error:
            raise _mapped(error) from None
        except ValueError:  # requests parses the target of a redirect with the standard library
            raise PermanentError(
                Reason.AUDIO_UNREACHABLE, "audio.uri redirects to something that is no valid URL"
            ) from None
        with response:
            if response.status_code not in _WHOLE:
                raise _refusal(response.status_code)
            yield Source(reader(_blocks(response)), response.headers.get("Content-Type"), at_hand=False)


def reader(blocks: Iterator[bytes]) -> Read:
    """Read from blocks of any size."""
    rest = b""

    def read(size: int) -> bytes:
        nonlocal rest
        while not rest:
            block = next(blocks, None)
            if block is None:
                return b""
            rest = block
        data, rest = rest[:size], rest[size:]
        return data

    return read


def _blocks(response: requests.Response) -> Iterator[bytes]:
    expected = response.headers.get("Content-Length")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    received = 0
    try:
        for block in response.iter_content(BLOCK_BYTES):
            received += len(block)
            yield block
    except requests.exceptions.RequestException as error:
        raise _mapped(error) from None
    # A body that is cut short would be a consultation that ends in mid-sentence, and nobody would know.
    if expected and expected.isdigit() and not encoded and received != int(expected):
        raise TransientError(Reason.AUDIO_UNREACHABLE, "the download of the audio ended before its end")


def _mapped(error: requests.exceptions.RequestException) -> JobError:
    for kind, ours, text in FAILURES:
        if isinstance(error, kind):
            return ours(Reason.AUDIO_UNREACHABLE, f"{text} ({type(error).__name__})")
    raise error


def _refusal(status: int) -> JobError:
    text = f"the audio's server answered HTTP {status}"
    if status in {408, 425, 429} or status >= 500:  # noqa: PLR2004
        return TransientError(Reason.AUDIO_UNREACHABLE, text)
    return PermanentError(Reason.AUDIO_UNREACHABLE, text)
