"""A file that is read with or without waiting for a disk."""

import os
import threading
from io import FileIO

from worker.contract.errors import JobError, Reason, TransientError

#: Only Linux can say whether a read would wait.
_NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)


class File:
    """Reads a file from its beginning, with or without waiting for a disk."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._offset = 0
        self._behind = False  # whether the file's own position is behind `_offset`
        self._reading = threading.Lock()
        self._left = False

    @property
    def can_tell(self) -> bool:
        """Whether `read_now` can work: network and memory file systems do not support it."""
        if _NO_WAIT is None:
            return False
        try:
            os.preadv(self._file.fileno(), (bytearray(1),), 0, _NO_WAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes."""
        try:
            with self._reading:
                if self._behind:
                    self._file.seek(self._offset)
                    self._behind = False
                data = self._file.read(size)
        except OSError as error:
            raise broken_read(error) from None
        finally:
            self._close_if_left()
        self._offset += len(data)
        return data

    @property
    def size(self) -> int:
        """Bytes in all, now."""
        return os.fstat(self._file.fileno()).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        """Read up to `size` bytes at an offset; the position of `read` stays where it is."""
        try:
            with self._reading:
                return os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            raise broken_read(error) from None
        finally:
            self._close_if_left()

    def read_now(self, size: int) -> bytes:
        """Read exactly `size` bytes from the page cache, or raise BlockingIOError (RWF_NOWAIT)."""
        data = bytearray(size)
        try:
            length = os.preadv(self._file.fileno(), (data,), self._offset, _NO_WAIT or 0)
        except OSError:
            # Any other error comes again in `read`, which reports it.
            raise BlockingIOError from None
        if length < size:
            raise BlockingIOError
        self._offset += size
        self._behind = True
        return bytes(data)

    def close(self) -> None:
        """Close the file; while another thread is in `read`, leave the closing to that thread.

        The system may give a closed descriptor to the next socket or file that is opened. A read that is
        still under way would then read from there.
        """
        self._left = True
        self._close_if_left()

    def _close_if_left(self) -> None:
        # Called after `close` and after each read: whichever of them comes last closes the file.
        if self._left and self._reading.acquire(blocking=False):
            try:
                self._file.close()
            finally:
                self._reading.release()


def broken_read(error: OSError) -> JobError:
    """What an error while reading means for the job."""
    # A full or stale network disk can recover. A missing file was refused when it was to be opened.
    return TransientError(Reason.AUDIO_UNREACHABLE, f"reading the audio file failed ({type(error).__name__})")
