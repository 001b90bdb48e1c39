"""Audio in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.concurrency.interrupt import Interrupt
from worker.contract.job import Job
from worker.protocol.pace import Chunk


@dataclass
class FakeAudioLibrary:
    """Implements `AudioLibrary`: the same audio for every job, or none."""

    chunks: list[Chunk]
    failure: Exception | None = None
    total_seconds: float | None = None
    at_hand: bool = True
    convertible: bool = False
    said: tuple[str, ...] = ()
    open_now: int = 0
    converted: list[bool] = field(default_factory=list)

    @contextmanager
    def open(self, _job: Job, _interrupt: Interrupt, *, convert: bool = False) -> Iterator["OpenAudio"]:
        if self.failure is not None:
            raise self.failure
        self.open_now += 1
        self.converted.append(convert)
        try:
            yield OpenAudio(
                self.chunks,
                total_seconds=self.total_seconds,
                at_hand=self.at_hand,
                convertible=self.convertible and not convert,
                said=self.said,
            )
        finally:
            self.open_now -= 1


@dataclass
class OpenAudio:
    """Implements `Audio`."""

    _chunks: list[Chunk]
    format: str | None = "audio/ogg"
    total_seconds: float | None = None
    at_hand: bool = True
    convertible: bool = False
    said: tuple[str, ...] = ()
    source_format: str = "opus in Ogg, 48000 Hz, 1 channel"
    sent_format: str = "audio/ogg (as it is)"

    def warnings(self) -> tuple[str, ...]:
        return self.said

    def chunks(self) -> Iterator[Chunk]:
        return iter(self._chunks)
