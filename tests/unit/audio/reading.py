"""An audio library with a single file, and functions that read it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, cast

import pytest

from tests.unit.audio.sounds import blocks
from worker.audio.library import Library
from worker.audio.reading import Source, reader
from worker.audio.source import Sources
from worker.concurrency.interrupt import Interrupt
from worker.contract.errors import PermanentError
from worker.contract.job import Audio
from worker.protocol.pace import Chunk

T = TypeVar("T")

RAW = "audio/pcm; rate=16000; channels=1; bits=16"


class OneSource:
    """Sources with a single file; they record whether it was read to its end and closed."""

    def __init__(self, data: Iterator[bytes], served_as: str | None, *, at_hand: bool = True) -> None:
        self._data = data
        self._served_as = served_as
        self._at_hand = at_hand
        self.open_now = False

    @contextmanager
    def open(self, _: Audio, interrupt: Interrupt, begin: Callable[[Source], T]) -> Iterator[T]:
        interrupt.check()
        self.open_now = True
        try:
            yield begin(Source(reader(self._data), self._served_as, at_hand=self._at_hand))
        finally:
            self.open_now = False


def read(
    data: bytes | Iterator[bytes],
    *,
    size: int = 1000,
    served_as: str | None = None,
    wav_as: Literal["pcm", "wav"] = "pcm",
    max_seconds: float = 60,
    **told: Any,
) -> tuple[str | None, list[Chunk]]:
    """The declaration of this data, and its chunks."""
    source = OneSource(blocks(data, size) if isinstance(data, bytes) else data, served_as)
    library = Library(cast("Sources", source), chunk_seconds=0.25, max_seconds=max_seconds, wav_as=wav_as)
    with library.open(Audio(uri="file:///a", **told), Interrupt()) as audio:
        declared, chunks = audio.format, list(audio.chunks())
        held = source.open_now
    assert (held, source.open_now) == (True, False)
    return declared, chunks


def sent(chunks: list[Chunk]) -> bytes:
    """The bytes that are sent to the service."""
    return b"".join(chunk.data for chunk in chunks)


def refused(data: bytes, **how: Any) -> PermanentError:
    """Read data that must be refused; return the error."""
    with pytest.raises(PermanentError) as caught:
        read(data, **how)
    return caught.value
