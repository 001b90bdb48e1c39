"""Where audio comes from: a file, a download, an object store, or the job itself. Never loaded whole.

Implements the bottom half of the `AudioLibrary` port: bytes, as many as are asked for at a time.
`worker/audio/library.py` makes chunks of them.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from io import BytesIO
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from worker.audio.blocking import BlockingCalls
from worker.audio.downloads import Downloads
from worker.audio.file import File
from worker.audio.reading import Source
from worker.audio.roots import Roots
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.errors import PermanentError, Reason

T = TypeVar("T")

#: Opens an object in an object store; see `worker.audio.objects.Objects.open`.
OpenObject = Callable[[str, Interrupt], AbstractContextManager[Source]]


class Sources:
    """Opens audio wherever a job says it is.

    Args:
        downloads: For http and https.
        roots: For files.
        calls: Opens files on separate threads, because a file system can hang.
        open_object: For object stores, with one tenant's rights; None if it has none.
    """

    def __init__(
        self, downloads: Downloads, roots: Roots, calls: BlockingCalls, open_object: OpenObject | None = None
    ) -> None:
        self._downloads = downloads
        self._roots = roots
        self._calls = calls
        self._open_object = open_object

    @contextmanager
    def open(self, audio: Audio, interrupt: Interrupt, begin: Callable[[Source], T]) -> Iterator[T]:
        """Open the audio of a job and read its beginning, for as long as it takes or until the interrupt.

        Args:
            audio: Of the job.
            interrupt: Ends the waiting for the source, here and later.
            begin: Reads the beginning; may run on another thread. The context yields what it returns.

        Raises:
            JobError: `audio_unreachable`, also while it is read.
            Interrupted: By `interrupt`.
        """
        inline = audio.inline
        if inline is not None:
            yield begin(
                Source(
                    BytesIO(inline).read,
                    None,
                    at_hand=True,
                    size=len(inline),
                    read_at=lambda offset, size: inline[offset : offset + size],
                )
            )
            return
        # What a URL means by `?` and `#` is refused in object stores, see `worker.network.buckets`.
        parts = urlsplit(audio.uri or "")
        if parts.scheme == "file":
            file, begun = self._calls.call(
                partial(self._file, unquote(parts.path), parts.netloc, begin, interrupt),
                interrupt.check,
                _dispose,
            )
            try:
                yield begun
            finally:
                file.close()
        elif parts.scheme in {"http", "https"}:
            with self._downloads.open(audio.uri or "", interrupt) as source:
                yield begin(source)
        elif self._open_object is not None:
            with self._open_object(audio.uri or "", interrupt) as source:
                yield begin(source)
        else:
            raise PermanentError(
                Reason.AUDIO_UNREACHABLE,
                "no object store may be read: set CORTI_WORKER_AUDIO_BUCKETS, or for a tenant with a "
                "directory its file audio-buckets",
            )

    def _file(
        self, path: str, host: str, begin: Callable[[Source], T], interrupt: Interrupt
    ) -> tuple[File, T]:
        if host not in {"", "localhost"}:
            raise PermanentError(
                Reason.AUDIO_UNREACHABLE, "a file: URI must not name another host (RFC 8089)"
            )
        file = self._roots.open(path)
        try:
            now = file.read_now if file.can_tell else None
            return file, begin(
                Source(
                    file.read,
                    None,
                    at_hand=True,
                    read_now=now,
                    size=file.size,
                    read_at=file.read_at,
                    waiting=lambda read: self._calls.call(read, interrupt.check),
                )
            )
        except BaseException:
            file.close()
            raise


def _dispose(begun: tuple[File, object]) -> None:
    begun[0].close()
