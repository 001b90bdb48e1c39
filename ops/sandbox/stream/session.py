"""The messages of a socket from ``CONFIG_ACCEPTED`` to ``usage``: transcripts, facts, events, credits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ops.sandbox.audio.voice import SilenceStarted
from ops.sandbox.rest.facts import FactBook
from ops.sandbox.stream import messages
from ops.sandbox.stream.facts import FactPlan, intervals

if TYPE_CHECKING:
    from ops.sandbox.audio.voice import SilenceOver
    from ops.sandbox.rest.interactions import Interaction
    from ops.sandbox.stats import StreamRecord
    from ops.sandbox.stream.configuration import Configuration
    from ops.sandbox.stream.hearing import Hearing
    from ops.sandbox.stream.messages import Line, Reply
    from ops.sandbox.stream.misbehaviour import Misbehaviour
    from ops.sandbox.stream.policy import StreamPolicy

#: The price is not documented. One credit per minute of audio is easy to check.
_CREDITS_PER_SECOND = 1 / 60
_DELTA_USAGE_SECONDS = 60.0


class Session:
    """Makes the messages that follow from the audio of one socket."""

    def __init__(
        self,
        *,
        interaction: Interaction,
        record: StreamRecord,
        misbehaviour: Misbehaviour,
        policy: StreamPolicy,
        configuration: Configuration,
        hearing: Hearing,
    ) -> None:
        self.hearing = hearing
        self._interaction = interaction
        self._history = interaction.history
        self._record = record
        self._misbehaviour = misbehaviour
        self._configuration = configuration
        # REST requests must not return facts of a stream with retention policy ``none`` (PROTOCOL.md 4.9).
        book = interaction.facts if configuration.stores else FactBook()
        due = intervals(
            fast_init=configuration.fast_init, every=policy.facts_every, time_scale=policy.time_scale
        )
        self._plan = FactPlan(book, interaction.id, due)
        self._usage_interval = _DELTA_USAGE_SECONDS * policy.time_scale
        self._next_usage = self._usage_interval
        self._counted = 0.0
        self._heard_before = self._history.heard_seconds
        self._offset = self._heard_before if misbehaviour.has("time_continues") else 0.0

    @property
    def received_bytes(self) -> int:
        """How many bytes of audio were received."""
        return self._record.audio_bytes

    def greeting(self) -> list[Reply]:
        """Return the messages right after ``CONFIG_ACCEPTED``: none, unless a fault repeats old segments."""
        old = self._history.segments
        if self._record.stream_number > 1 and old and self._misbehaviour.has("repeat_segments"):
            return [messages.transcript([one]) for one in old]
        return []

    def advance(self, now: float) -> list[Reply]:
        """Process new audio and return the messages that are due.

        Raises:
            AudioError: the audio cannot be decoded.
        """
        events = self.hearing.advance()
        self._history.heard_seconds += self.hearing.seconds - self._counted
        self._counted = self.hearing.seconds
        replies = self._events(events) + self._lines()
        if self._configuration.facts_mode:
            replies += self.facts_message(self._plan.due(self.hearing.seconds, now))
        if self.hearing.seconds >= self._next_usage:
            self._next_usage += self._usage_interval
            replies.append(messages.usage(self._credits(self._heard_before), final=False))
        return replies

    def flush(self) -> list[Reply]:
        """End all open speech segments and return their messages."""
        return self._events(self.hearing.flush()) + self._lines()

    def last_words(self, now: float) -> list[Reply]:
        """Return the messages left after all audio was processed; ``usage`` comes later (PROTOCOL.md 4.5)."""
        replies = self._lines() + self._misbehaviour.held_back()
        if self._configuration.facts_mode:
            replies += self.facts_message(self._plan.remaining(now))
        return replies

    def usage(self) -> Reply:
        """Return the ``usage`` message of this socket."""
        return messages.usage(self._credits(0.0), final=True)

    def facts_message(self, entries: list[dict[str, Any]]) -> list[Reply]:
        """Return the message with these facts, or no message without facts."""
        if not entries:
            return []
        self._record.facts += len(entries)
        return [messages.facts(entries, key="data" if self._misbehaviour.has("facts_key_data") else "fact")]

    def close(self) -> None:
        """End the decoder's thread, if there is one."""
        self.hearing.close()

    def _lines(self) -> list[Reply]:
        segments = []
        for line in self.hearing.lines():
            if self._configuration.facts_mode:
                self._plan.add(line)
            segments.append(self._segment(line))
        if not segments:
            return []
        self._record.transcripts += len(segments)
        self._history.segments += segments
        return self._misbehaviour.shape(segments)

    def _segment(self, line: Line) -> dict[str, Any]:
        segment = messages.segment(self._interaction.id, line, offset=self._offset)
        for find, replacement in self._configuration.replacements:
            pattern = rf"(?<!\w){re.escape(find)}(?!\w)"
            # `re.sub` interprets backslashes in a template; the replacement is literal text.
            template = replacement.replace("\\", r"\\")
            segment["transcript"] = re.sub(pattern, template, segment["transcript"], flags=re.IGNORECASE)
        return segment

    def _events(self, events: list[SilenceStarted | SilenceOver]) -> list[Reply]:
        if not self._configuration.audio_events:
            return []
        return [
            messages.audio_event(
                event,
                name="longSilenceDetected" if isinstance(event, SilenceStarted) else "longSilenceRecovered",
            )
            for event in events
        ]

    def _credits(self, before: float) -> float:
        return (before + self.hearing.seconds) * _CREDITS_PER_SECOND
