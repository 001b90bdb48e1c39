"""Who says what: the role of each segment, and the transcript as plain text."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from worker.contract.events import HeardSegment, Segment
from worker.contract.job import Role, Transcription

#: Roles of one person; a channel with the role `multiple` has several.
_PERSONS = frozenset({"doctor", "patient"})


class Roles:
    """The roles of a job's participants.

    A segment has the role of the only participant of its channel, `multiple` where the job names several
    there, and none where it names nobody. Without `multichannel` the service mixes all channels into one. So
    all participants are heard there, and nobody's words are put down to the first of them.
    """

    def __init__(self, transcription: Transcription) -> None:
        self._mixed = not transcription.multichannel
        self._of_channel: dict[int, Role] = {}
        for participant in transcription.participants:
            channel = self._heard_on(participant.channel)
            self._of_channel[channel] = "multiple" if channel in self._of_channel else participant.role

    def give(self, segments: Iterable[HeardSegment]) -> tuple[Segment, ...]:
        """The segments with their roles, for an event."""
        return tuple(
            Segment(
                one.text, one.start, one.end, one.channel, one.speaker, one.final, self._role(one.channel)
            )
            for one in segments
        )

    def _role(self, channel: int) -> Role | None:
        return self._of_channel.get(self._heard_on(channel))

    def _heard_on(self, channel: int) -> int:
        return 0 if self._mixed else channel


class _Voice(NamedTuple):
    """What the service tells apart: one speaker of one channel. Not more than that is known of a person."""

    role: Role | None
    channel: int
    speaker: int | None

    @property
    def is_one_person(self) -> bool:
        """Whether what is heard here is of one person, as far as job and service say."""
        return self.role in _PERSONS or self.speaker is not None

    @property
    def name(self) -> str:
        """The role of one person; else the speaker's number; else what is known of the channel."""
        if self.speaker is not None and self.role not in _PERSONS:
            return f"speaker {self.speaker}"
        return self.role or f"channel {self.channel}"

    @property
    def full_name(self) -> str:
        """All that is known; no other voice has it, because it has the channel and the speaker."""
        parts: list[str] = [self.role] if self.role else []
        parts.append(f"channel {self.channel}")
        if self.speaker is not None:
            parts.append(f"speaker {self.speaker}")
        return ", ".join(parts)


def plain_text(segments: Iterable[Segment]) -> str:
    """The transcript as text: a line for each turn, with a label, a colon and what was said.

    Segments of one person that follow each other are one turn. Where the service does not tell apart who
    speaks on a channel of several people, each segment is a turn, because the next may be somebody else's.
    A label is short where no other voice of this transcript has the same; else it has role, channel and
    speaker. So voices that the service tells apart never share one. Line breaks within a segment become
    spaces, because a segment must not look like a turn of somebody else. A segment without words is left out.

    Args:
        segments: In the order in which they are to be read.
    """
    turns: list[tuple[_Voice, list[str]]] = []
    for segment in segments:
        words = " ".join(segment.text.splitlines()).strip()
        if not words:
            continue
        voice = _Voice(segment.role, segment.channel, segment.speaker)
        if turns and turns[-1][0] == voice and voice.is_one_person:
            turns[-1][1].append(words)
        else:
            turns.append((voice, [words]))
    voices = {voice for voice, _ in turns}
    bearers = Counter(voice.name for voice in voices)
    labels = {voice: voice.name if bearers[voice.name] == 1 else voice.full_name for voice in voices}
    return "\n".join(f"{labels[voice]}: {' '.join(said)}" for voice, said in turns)
