"""Whether an Ogg file consists of several, one behind the other ("chained", RFC 3533, section 4)."""

from worker.audio.reading import ReadAt

_MAGIC = b"OggS"
_SERIAL, _HEAD = 14, 27
#: In so many last bytes lies the head of a page: a page has at most 65,307 bytes.
_TAIL = 66_000


def is_joined(read_at: ReadAt, size: int) -> bool:
    """Whether the last page of a file belongs to another logical stream than the first one."""
    first = read_at(0, _HEAD)
    tail = read_at(max(0, size - _TAIL), _TAIL)
    at = tail.rfind(_MAGIC, 0, max(0, len(tail) - _HEAD) + len(_MAGIC))
    if at < 0 or len(first) < _HEAD:
        return False
    return tail[at + _SERIAL : at + _SERIAL + 4] != first[_SERIAL : _SERIAL + 4]
