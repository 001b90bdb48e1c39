"""Reads one version of an object in ranges.

One range after the other is asked for, because audio is read at the pace of speech: an answer with the whole
object would stand still for an hour, and servers end such connections. Each range must be of the version that
the first one was of: two halves of different recordings would pass for one consultation.
"""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import obstore

from worker.audio.failures import too_large
from worker.audio.object_failures import CHANGED
from worker.audio.stores import Store
from worker.contract.errors import Reason, TransientError

if TYPE_CHECKING:
    from obstore import GetResult

T = TypeVar("T")

#: What is asked for at a time: four seconds of 16 kHz and 16 bit. A machine's buffers hold so much, so the
#: server has sent it all long before it is read.
RANGE_BYTES = 128 * 1024


class Call(Protocol):
    """Makes a call of obstore within the limits of a job, and turns its exceptions into ours."""

    def __call__(self, function: Callable[[], T], /) -> T:
        """Returns what the call returns."""
        ...


class ObjectVersion:
    """One version of an object, as the first answer showed it.

    Args:
        store: Of the bucket.
        key: In it.
        call: Makes each call of obstore.
    """

    def __init__(self, store: Store, key: str, call: Call) -> None:
        self.size = 0
        self.media_type: str | None = None
        self._store = store
        self._key = key
        self._call = call
        self._version: tuple[object, ...] | None = None
        self._tag: str | None = None
        self._offset = 0
        self._parts: Iterator[bytes] = iter(())
        self._part = BytesIO()

    def begin(self, max_bytes: int) -> None:
        """Find out what the object is. Its first range is being sent then."""
        self._parts = self._range(0, RANGE_BYTES, first=True)
        self._part = BytesIO(next(self._parts, b""))
        if self.size > max_bytes:
            raise too_large()

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes in order."""
        data = self._part.read(size)
        while not data:
            part = next(self._parts, None)
            if part is None:
                if self._offset >= self.size:
                    return b""
                self._parts = self._range(self._offset, self._offset + RANGE_BYTES)
                continue
            self._part = BytesIO(part)
            data = self._part.read(size)
        self._offset += len(data)
        return data

    def read_at(self, offset: int, size: int) -> bytes:
        """Read up to `size` bytes at an offset; the position of `read` stays where it is."""
        if size <= 0 or offset >= self.size:
            return b""
        return b"".join(self._range(offset, offset + size))

    def _range(self, start: int, stop: int, *, first: bool = False) -> Iterator[bytes]:
        """The bytes of a range, as they come."""
        options: dict[str, Any] = {"range": (start, stop)}
        if self._tag is not None:
            options["if_match"] = self._tag
        result = self._call(lambda: _got(self._store, self._key, options, first=first))
        if result is None:
            return
        self._compare(result)
        left = min(stop, self.size) - start
        parts = result.stream(min_chunk_size=1)
        while part := self._call(lambda: next(parts, b"")):
            left -= len(part)
            if left < 0:
                raise _broken("sent more than was asked for")
            yield bytes(part)
        if left:
            raise _broken("ended its answer before its end")

    def _compare(self, result: "GetResult") -> None:
        """Remember the version of the first answer, and refuse later ones of another."""
        meta = result.meta
        # Some servers do not know If-Match, and some send no tag.
        version = (meta["e_tag"] or meta["last_modified"], meta["size"])
        if self._version is None:
            self._version, self.size = version, meta["size"]
            tag = meta["e_tag"]
            # By RFC 9110 a weak tag never matches.
            self._tag = None if tag is None or tag.startswith("W/") else tag
            self.media_type = result.attributes.get("Content-Type")
        elif version != self._version:
            raise TransientError(Reason.AUDIO_UNREACHABLE, CHANGED)


def _got(store: Store, key: str, options: dict[str, Any], *, first: bool) -> "GetResult | None":
    """The answer for a range; None for the first one of an empty object, which has no range to ask for."""
    try:
        return obstore.get(store, key, options=options)  # type: ignore[arg-type]
    except obstore.exceptions.GenericError as error:
        if first and "416 Range Not Satisfiable" in str(error) and obstore.head(store, key)["size"] == 0:
            return None
        raise


def _broken(how: str) -> TransientError:
    return TransientError(Reason.AUDIO_UNREACHABLE, f"the object store {how}")
