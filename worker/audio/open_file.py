"""Opening a file that a producer named: a regular one, under a root of ours, and never one that blocks."""

import errno
import os
import stat
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from worker.audio.file import broken_read
from worker.errors import JobError, PermanentError, Reason

#: What another attempt will find just the same.
_NO_SUCH_FILE = frozenset(
    {
        errno.ENOENT,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.ENXIO,  # a socket, or a device without a driver
    }
)
#: Without O_NONBLOCK to open a pipe that nobody writes to waits for ever, and the job's slot with it.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
#: Where the kernel shows its own state as files that call themselves regular: settings, and other processes'
#: secrets, are among them.
_KERNEL = (Path("/proc"), Path("/sys"), Path("/dev"))


def open_regular(path: str, roots: Sequence[Path]) -> FileIO:
    """Open a file for reading, unbuffered.

    Args:
        path: Absolute, as the producer gave it.
        roots: Directories that it must lie in; real paths.

    Raises:
        PermanentError: It lies elsewhere, is no regular file, or cannot be opened; none are allowed at all.
        TransientError: A disk is out of order for now.
    """
    if not roots:
        raise _refused(
            "this worker reads no file: URIs; CORTI_WORKER_AUDIO_ROOT names directories to read from"
        )
    try:
        place = Path(path).resolve()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a link to itself, before Python 3.13
        place = Path()
    if not _allowed(place, roots):
        raise _outside()
    try:
        number = os.open(place, _FLAGS)
    except OSError as error:
        raise _unopened(error) from None
    # Unbuffered: a chunk is as large as a buffer would be, and thousands of files are open at once. Looked at
    # when it is open, for what lies at the path may be another one by now.
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise _refused("the audio is no regular file, but a pipe, a device, a socket or a directory")
    if not _allowed(_place_of(number, place), roots):
        os.close(number)
        raise _outside()
    return FileIO(number, "rb")


def _allowed(place: Path, roots: Sequence[Path]) -> bool:
    """Whether a real path lies in a root, and is not the kernel's."""
    inside = any(place.is_relative_to(root) for root in roots)
    # A root within /dev/shm, for example, is somebody's wish.
    kernels = any(place.is_relative_to(kernel) for kernel in _KERNEL)
    wanted = any(root != Path("/") and place.is_relative_to(root) for root in roots)
    return place.is_absolute() and inside and (wanted or not kernels)


def _place_of(number: int, place: Path) -> Path:
    """Where an open file really lies; the path that was opened, where the system cannot say (not Linux)."""
    try:
        return Path(f"/proc/self/fd/{number}").readlink()
    except OSError:
        return place


def _unopened(error: OSError) -> JobError:
    if error.errno not in _NO_SUCH_FILE:
        return broken_read(error)
    return _refused(f"the audio file cannot be opened ({type(error).__name__})")


def _outside() -> PermanentError:
    return _refused("the file lies outside of the directories in CORTI_WORKER_AUDIO_ROOT")


def _refused(detail: str) -> PermanentError:
    return PermanentError(Reason.AUDIO_UNREACHABLE, detail)
