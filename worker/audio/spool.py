"""Copies audio that comes only in order into a temporary file, so that it can be read at any offset.

The files have no names: whatever ends the process, a kill included, nothing of a patient's speech stays on
the disk. What they hold in all is limited, because a disk that is full stops more than this worker.
"""

import errno
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import FileIO
from itertools import chain
from pathlib import Path

from worker.audio.failures import AttemptOver
from worker.audio.file import File
from worker.audio.reading import Source
from worker.audio.speed import BYTES_PER_SECOND
from worker.contract.errors import JobError, PermanentError, Reason

#: How much is copied at a time.
_BLOCK = 64 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Spool:
    """Temporary files of one process. One object serves all job threads.

    Args:
        directory: Where they lie; None: the system's directory for temporary files.
        max_bytes: What they may hold in all at the same moment.
        create: Makes an empty file without a name; tests have disks that are full.
    """

    def __init__(
        self, directory: Path | None, max_bytes: int, create: Callable[[], FileIO] | None = None
    ) -> None:
        self._max_bytes = max_bytes
        self._create = create or partial(_nameless, directory)
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes that the files hold now."""
        return self._used

    @contextmanager
    def spooled(self, source: Source, head: bytes = b"") -> Iterator[Source]:
        """A source with the same audio and with `read_at`. Valid within the context.

        A source that has `read_at` is given back as it is. Another one is copied to its end, at the speed of
        its server, and is not to be used any more. Either way, `read` goes on behind `head`.

        Args:
            source: The audio.
            head: What was read of it already.

        Raises:
            JobError: `audio_unreachable`: the source failed, the spool or its disk is full.
            Interrupted: By the interrupt of the source.
        """
        if source.read_at is not None:
            yield source
            return
        taken = 0
        file = None
        blocks = chain([head] if head else [], iter(partial(source.read, _BLOCK), b""))
        try:
            try:
                raw = self._create()
            except OSError as error:
                raise _broken(error) from None
            file = File(raw)
            if source.size is not None:
                self._fits(source.size)
            for block in blocks:
                self._take(len(block), taken)
                taken += len(block)
                _write(raw, block)
                if source.heard is not None:
                    # The speed limit asks for audio, and how much this is will be known at the end.
                    source.heard(len(block) / BYTES_PER_SECOND)
            raw.seek(0)
            file.read(len(head))
            yield Source(
                file.read,
                source.media_type,
                at_hand=True,
                read_now=file.read_now if file.can_tell else None,
                size=taken,
                read_at=file.read_at,
            )
        finally:
            if file is not None:
                file.close()
            with self._lock:
                self._used -= taken

    def _fits(self, size: int) -> None:
        """Raise now if a recording of this size cannot be copied, and not after most of it was downloaded."""
        if size > self._max_bytes:
            raise _never_fits()
        with self._lock:
            if self._used + size > self._max_bytes:
                raise _full()

    def _take(self, size: int, before: int) -> None:
        if before + size > self._max_bytes:
            raise _never_fits()
        with self._lock:
            if self._used + size > self._max_bytes:
                raise _full()
            self._used += size


def _nameless(directory: Path | None) -> FileIO:
    # It never has a name (O_TMPFILE) or, on some file systems, loses it before anything is written.
    return tempfile.TemporaryFile(dir=directory, buffering=0)


def _write(file: FileIO, block: bytes) -> None:
    view = memoryview(block)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        raise _broken(error) from None


def _never_fits() -> JobError:
    return PermanentError(
        Reason.AUDIO_TOO_LARGE,
        "the audio must be copied to be read, and is larger than all copies may be: raise "
        "CORTI_WORKER_SPOOL_BYTES, or have it served by a server that gives ranges",
    )


def _full() -> AttemptOver:
    return AttemptOver(
        "the audio must be copied to be read, and there is no place beside the copies of other jobs: raise "
        "CORTI_WORKER_SPOOL_BYTES, or have audio served by a server that gives ranges"
    )


def _broken(error: OSError) -> AttemptOver:
    if error.errno in _FULL:
        return AttemptOver(
            "the disk of CORTI_WORKER_SPOOL_DIR, which the audio is copied to, is full: make room on it, or "
            "lower CORTI_WORKER_SPOOL_BYTES below what it has"
        )
    return AttemptOver(
        f"the audio could not be copied to CORTI_WORKER_SPOOL_DIR ({type(error).__name__}): see that it is "
        "a directory that the worker may write to"
    )
