"""Audio, as an attempt sees it: a port."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from worker.concurrency.interrupt import Interrupt
from worker.contract.job import Job
from worker.protocol.pace import Chunk


class Audio(Protocol):
    """Opened audio."""

    @property
    def format(self) -> str | None:
        """MIME string to declare, or None to let the service find out."""
        ...

    @property
    def total_seconds(self) -> float | None:
        """How long the audio lasts, if that is known before it was read."""
        ...

    @property
    def at_hand(self) -> bool:
        """Whether `chunks` never waits for a network."""
        ...

    @property
    def source_format(self) -> str:
        """What the source is, for people."""
        ...

    @property
    def sent_format(self) -> str:
        """What the service gets, for people."""
        ...

    @property
    def convertible(self) -> bool:
        """Whether the audio can be converted, if the service does not take it as it is."""
        ...

    def warnings(self) -> tuple[str, ...]:
        """What the result has to say of the audio; complete once all chunks were taken."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, once. Blocks while the source does, except for the first chunk.

        Raises:
            JobError: The source failed.
            Interrupted: By the interrupt that the audio was opened with.
        """
        ...


class AudioLibrary(Protocol):
    """Opens audio."""

    def open(self, job: Job, interrupt: Interrupt, *, convert: bool = False) -> AbstractContextManager[Audio]:
        """Open the audio of a job.

        Args:
            job: Its audio, and what it says of channels.
            interrupt: Ends the waiting for the source, also while it is read later.
            convert: Whether compressed audio is to be decoded, also if the service takes it as it is.

        Raises:
            JobError: The audio cannot be reached, or cannot be streamed.
            Interrupted: By `interrupt`.
        """
        ...
