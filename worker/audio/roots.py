"""Opens files under the directories that audio may lie in: regular files, and nothing else.

The URI is a producer's, and the directories may be writable for others. So a file may be exchanged between a
check of its path and its opening. Therefore the path is opened one directory at a time from the root, each
step refuses links, and the kind of the file is checked on the open file.
"""

import errno
import os
import stat
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Self

from worker.audio.file import File, broken_read
from worker.contract.errors import PermanentError, Reason

#: Errors that another attempt would meet again.
_NO_SUCH_FILE = frozenset(
    {
        errno.ENOENT,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.ENXIO,
        errno.ENODEV,
    }
)
#: File systems that show the kernel's state. Their files claim to be regular files.
_OF_THE_KERNEL = frozenset(
    {
        *("binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs"),
        *("fusectl", "mqueue", "nsfs", "proc", "pstore", "resctrl", "securityfs", "selinuxfs", "smackfs"),
        *("sysfs", "tracefs"),
    }
)
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a pipe that took the file's place after the first look would block here for ever.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC


class Roots:
    """The directories that files must lie in.

    Args:
        directories: Absolute paths. If there are none, no file is read.
        before_opening: Called between resolving a path and opening it: tests exchange the file then.
    """

    def __init__(
        self, directories: tuple[Path, ...], before_opening: Callable[[], None] = lambda: None
    ) -> None:
        self._directories = directories
        self._before_opening = before_opening
        self._of_the_kernel: dict[int, bool] = {}  # by device

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read a list that is separated by colons; None: no directory."""
        return cls(tuple(map(Path, text.split(":"))) if text else ())

    def open(self, path: str) -> File:
        """Open the file at an absolute path. May wait for its file system, for ever if that hangs.

        Raises:
            JobError: `audio_unreachable`.
        """
        if not self._directories:
            raise _refused(
                "this worker reads no files: CORTI_WORKER_AUDIO_ROOT names no directory that they may lie in"
            )
        root, below = self._place(path)
        self._before_opening()
        try:
            descriptor = _opened(root, below)
        except OSError as error:
            if error.errno not in _NO_SUCH_FILE:
                raise broken_read(error) from None
            raise _refused(f"the audio file cannot be opened ({type(error).__name__})") from None
        try:
            self._check(os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        # Unbuffered: a chunk is as large as a buffer would be, and thousands of files are open at once.
        return File(FileIO(descriptor))

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise _irregular()
        device = found.st_dev
        if device not in self._of_the_kernel:
            self._of_the_kernel[device] = _file_system(device) in _OF_THE_KERNEL
        if self._of_the_kernel[device]:
            raise _refused("audio.uri names a file of the kernel (proc, sysfs ...), which is no recording")

    def _place(self, path: str) -> tuple[Path, tuple[str, ...]]:
        """The root that a path lies in, and the names below it, all links resolved."""
        try:
            place = Path(path)
            resolved = place.resolve() if place.is_absolute() else Path()
            # Roots are resolved each time, too: their targets may have been mounted again.
            for root in (directory.resolve() for directory in self._directories):
                if resolved.is_relative_to(root):
                    return root, resolved.relative_to(root).parts
        except (OSError, ValueError, RuntimeError):  # RuntimeError: a link to itself, before Python 3.13
            pass
        raise _refused("the file lies outside of the directories in CORTI_WORKER_AUDIO_ROOT")


def _opened(root: Path, below: tuple[str, ...]) -> int:
    """Open a file step by step from its root. The resolved path held no links, so it must hold none now."""
    if not below:
        raise _irregular()
    directory = os.open(root, _DIRECTORY)
    try:
        for name in below[:-1]:
            following = os.open(name, _DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = following
        # Opening a device can already have effects, so the kind of the file is checked before, too.
        if not stat.S_ISREG(os.stat(below[-1], dir_fd=directory, follow_symlinks=False).st_mode):
            raise _irregular()
        return os.open(below[-1], _FILE, dir_fd=directory)
    finally:
        os.close(directory)


def _file_system(device: int) -> str:
    """The type of the file system on a device; empty where the system does not say."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields = line.split()
                if fields[2] == number:
                    return fields[fields.index("-") + 1]
    except (OSError, ValueError, IndexError):
        pass
    return ""


def _irregular() -> PermanentError:
    return _refused("audio.uri names no regular file, but a pipe, device, socket, link or directory")


def _refused(text: str) -> PermanentError:
    return PermanentError(Reason.AUDIO_UNREACHABLE, text)
