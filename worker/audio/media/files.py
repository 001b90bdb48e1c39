"""File-like objects that PyAV reads a source through."""

import io
from collections.abc import Callable, Iterator
from functools import partial

from worker.audio.reading import ReadAt, Waiting


class OrderedFile:
    """Gives PyAV bytes in order; can keep them, so that they can be sent as they are.

    It has no `seekable`, so PyAV does not seek: a download cannot.

    Args:
        blocks: The bytes.
        keep: Whether to keep what PyAV has read until `cut` takes it.

    Attributes:
        failure: What `blocks` raised. PyAV would replace the exception by one of its own. So the exception is
            kept here, and PyAV gets an I/O error.
    """

    def __init__(self, blocks: Iterator[bytes], *, keep: bool) -> None:
        self._blocks = blocks
        self._next: Callable[[], bytes] = partial(next, blocks, b"")
        self._ahead = b""
        self._kept = bytearray()
        self._base = 0
        self.keep = keep
        self.failure: Exception | None = None

    @property
    def offset(self) -> int:
        """How far PyAV has read."""
        return self._base + len(self._kept)

    def read(self, size: int) -> bytes:
        """Called by PyAV."""
        if not self._ahead:
            try:
                self._ahead = self._next()
            except Exception as failure:  # noqa: BLE001  # raised again where PyAV has come back
                self.failure = failure
                raise OSError from None
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        self._kept += data
        if not self.keep:
            self.cut(self.offset)
        return data

    def wait_by(self, waiting: Waiting) -> None:
        """Have the blocks read so that an interrupt ends the waiting."""
        self._next = partial(waiting, self._next)

    def again(self) -> Iterator[bytes]:
        """All bytes from the beginning, those that PyAV has read included; nothing may have been cut."""
        yield bytes(self._kept)
        yield self._ahead
        yield from self._blocks

    def cut(self, until: int) -> bytes:
        """Take the bytes before offset `until`."""
        count = max(0, min(until - self._base, len(self._kept)))
        data = bytes(self._kept[:count])
        del self._kept[:count]
        self._base += count
        return data

    def rest(self) -> Iterator[bytes]:
        """The bytes that PyAV has not read: what follows the container."""
        if self._ahead:
            yield self._ahead
            self._ahead = b""
        yield from self._blocks


class SeekableFile:
    """Gives PyAV bytes from any offset.

    Args:
        read_at: Reads the source.
        size: Its bytes in all.

    Attributes:
        failure: What `read_at` raised; see `OrderedFile`.
    """

    def __init__(self, read_at: ReadAt, size: int) -> None:
        self._read_at = read_at
        self._waiting: Waiting | None = None
        self._size = size
        self._offset = 0
        self.failure: Exception | None = None

    def read(self, size: int) -> bytes:
        """Called by PyAV."""
        try:
            read = partial(self._read_at, self._offset, size)
            data = read() if self._waiting is None else self._waiting(read)
        except Exception as failure:  # noqa: BLE001  # raised again where PyAV has come back
            self.failure = failure
            raise OSError from None
        self._offset += len(data)
        return data

    def wait_by(self, waiting: Waiting) -> None:
        """Have the source read so that an interrupt ends the waiting."""
        self._waiting = waiting

    def seekable(self) -> bool:
        """Called by PyAV."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Called by PyAV."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size}[whence]
        self._offset = max(0, base + offset)
        return self._offset

    def tell(self) -> int:
        """Called by PyAV."""
        return self._offset
