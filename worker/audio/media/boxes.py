"""In which order the parts of an MP4 file come (ISO/IEC 14496-12, 4.2)."""

import struct

from worker.audio.reading import ReadAt

#: More boxes than this before index and samples are no recording.
_MOST_BOXES = 64
_LARGE = 16


def index_first(read_at: ReadAt) -> bool:
    """Whether the index lies before the samples, so that the file can be read from front to back."""
    offset = 0
    for _ in range(_MOST_BOXES):
        head = read_at(offset, _LARGE)
        if len(head) < 8:  # noqa: PLR2004  # size and name
            return False
        size, name = struct.unpack_from(">I4s", head)
        if name in {b"moov", b"mdat"}:
            return bool(name == b"moov")
        if size == 1 and len(head) == _LARGE:
            size = struct.unpack_from(">Q", head, 8)[0]
        if size < 8:  # noqa: PLR2004
            return False
        offset += size
    return False
