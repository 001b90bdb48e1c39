"""Reads a file behind a URL at any offset, in blocks that are asked for one by one.

For formats whose index lies at the end of the file. Three blocks are kept: a reader goes to and fro between
two places of a file, and asks for a few bytes at a time. They are not larger because each of some hundred
streams keeps them.
"""

from collections import deque
from collections.abc import Callable

from worker.audio.remote import RemoteFile
from worker.audio.span import Count, Span
from worker.audio.speed import BYTES_PER_SECOND

#: The first block of a place in the file, and the largest one, which reading on leads to. A jump is often for
#: a few bytes, and reading on is often to the end.
SMALLEST_BLOCK, LARGEST_BLOCK = 64 * 1024, 256 * 1024
#: How many blocks are kept.
KEPT = 3


class Ranges:
    """Reads at offsets. Not for two threads at once, nor beside a `read` of the same download.

    Args:
        file: The file.
        size: Its bytes.
        count: Called with the bytes that have come, also with those that had come before.
        first: Called before the first request.
    """

    def __init__(self, file: RemoteFile, size: int, count: Count, first: Callable[[], None]) -> None:
        self._file = file
        self._size = size
        self._count = count
        self._first: Callable[[], None] | None = first
        self._blocks: deque[tuple[int, bytes]] = deque(maxlen=KEPT)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Source.read_at`.

        Raises:
            JobError: `audio_unreachable`.
            Interrupted: By the interrupt of the download's `Wait`.
        """
        if offset < 0 or size < 0:
            raise ValueError("an offset and a size are never negative")
        pieces = []
        end = min(offset + size, self._size)
        while offset < end:
            begin, block = self._block(offset)
            piece = block[offset - begin : end - begin]
            pieces.append(piece)
            offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _block(self, offset: int) -> tuple[int, bytes]:
        """The block that holds an offset, and where it begins."""
        for kept in self._blocks:
            if kept[0] <= offset < kept[0] + len(kept[1]):
                self._blocks.remove(kept)
                self._blocks.append(kept)  # the one that is not used for longest goes first
                return kept
        begin = offset - offset % SMALLEST_BLOCK
        length = SMALLEST_BLOCK
        for before, block in self._blocks:
            if before + len(block) == begin:
                length = min(2 * len(block), LARGEST_BLOCK)
        if self._first is not None:
            # The connection of the whole file would stand still meanwhile, with megabytes in its buffers.
            self._first()
            self._first = None
        fetched = self._fetched(begin, min(begin + length, self._size))
        self._blocks.append((begin, fetched))
        return begin, fetched

    def _fetched(self, begin: int, end: int) -> bytes:
        span = Span(self._file, begin, end, self._count)
        try:
            block = b"".join(iter(span.take, b""))
        finally:
            span.close()
        self._file.wait.speed.heard(len(block) / BYTES_PER_SECOND)
        return block
