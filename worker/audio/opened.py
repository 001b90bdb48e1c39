"""Opened audio as a job uses it: its chunks, and what the result says of it. Implements the `Audio` port."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from worker.audio.media.plan import check_length
from worker.contract.errors import PermanentError, Reason
from worker.protocol.pace import Chunk

#: Compressed audio that ends so many seconds before its announced end is whole: headers are rounded.
SLACK = 0.5
#: How many damaged places the warnings name.
_MOST_PLACES = 10


@dataclass(slots=True)
class OpenedAudio:
    """Implements the `Audio` port.

    Attributes:
        format: What the audio is for the service; None if that is not declared.
        source_format: What the source is, for people.
        how: How the source becomes what is sent, for people.
        total_seconds: How long the audio lasts, if it says so.
        at_hand: Whether `chunks` never waits for a network.
        convertible: Whether the audio can be converted, if the service does not take it as it is.
        notes: Warnings; more may come while the chunks are taken.
        gaps: Where silence stands for what could not be read, as (begin, seconds); may grow.
        close: Releases what was opened.
    """

    _chunks: Iterator[Chunk]
    format: str | None
    source_format: str
    how: str
    total_seconds: float | None
    at_hand: bool
    convertible: bool = False
    notes: list[str] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    close: Callable[[], None] = lambda: None

    @property
    def sent_format(self) -> str:
        """What the service gets, for people."""
        return f"{self.format or 'audio/wav'} ({self.how})"

    def chunks(self) -> Iterator[Chunk]:
        """See `worker.jobs.audio.Audio`."""
        return self._chunks

    def report_to(self, heard: Callable[[float], None]) -> None:
        """Call `heard` with the seconds of each chunk when the chunk is taken."""
        self._chunks = _told(self._chunks, heard)

    def warnings(self) -> tuple[str, ...]:
        """See `worker.jobs.audio.Audio`."""
        return (*self.notes, *_damage(self.gaps))


def _told(chunks: Iterator[Chunk], heard: Callable[[float], None]) -> Iterator[Chunk]:
    for chunk in chunks:
        heard(chunk.seconds)
        yield chunk


def _damage(gaps: list[tuple[float, float]]) -> Iterator[str]:
    if not gaps:
        return
    places = ", ".join(f"{seconds:.1f} s at {begin:.1f} s" for begin, seconds in gaps[:_MOST_PLACES])
    more = f" and {len(gaps) - _MOST_PLACES} more places" if len(gaps) > _MOST_PLACES else ""
    yield f"parts of the audio are damaged, and silence was sent in their place: {places}{more}"


def limited(chunks: Iterator[Chunk], longest: float) -> Iterator[Chunk]:
    """The chunks, until they pass the longest audio that is accepted."""
    total = 0.0
    for chunk in chunks:
        total += chunk.seconds
        if total > longest:
            check_length(total, longest)
        yield chunk


class Truncation:
    """What happens with audio that ends before the end that it announces.

    Args:
        when: As the job says.
        notes: Gets the warning.
    """

    def __init__(self, when: Literal["refuse", "transcribe"], notes: list[str]) -> None:
        self._when = when
        self._notes = notes

    def found(self, missing: float, announced: float) -> None:
        """So many seconds are missing of those that are announced.

        Raises:
            PermanentError: `audio_truncated`, if the job wants that.
        """
        text = (
            f"the audio is truncated: it ends at {max(0.0, announced - missing):.1f} s, "
            f"and its header announces {announced:.1f} s"
        )
        if self._when == "refuse":
            raise PermanentError(
                Reason.AUDIO_TRUNCATED, f"{text}; audio.when_truncated: transcribe takes what there is"
            )
        self._notes.append(text)

    def watched(self, chunks: Iterator[Chunk], announced: float | None) -> Iterator[Chunk]:
        """The chunks; at their end their length is compared with the announced one."""
        total = 0.0
        for chunk in chunks:
            total += chunk.seconds
            yield chunk
        if announced is not None and announced - total > SLACK:
            self.found(announced - total, announced)
