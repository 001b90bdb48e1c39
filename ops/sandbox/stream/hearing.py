"""The audio pipeline of one socket: from bytes to samples, speech segments and transcript lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.sandbox.audio.voice import Ear, Segment, SilenceOver, SilenceStarted

if TYPE_CHECKING:
    from ops.sandbox.audio.decoder import Decoder
    from ops.sandbox.audio.voice import VoiceEvent
    from ops.sandbox.stream.configuration import Configuration
    from ops.sandbox.stream.lines import LineSource
    from ops.sandbox.stream.messages import Line


class Hearing:
    """Decodes the audio of one socket, detects speech and collects transcript lines."""

    def __init__(
        self, *, decoder: Decoder, source: LineSource, configuration: Configuration, long_silence: float
    ) -> None:
        #: Seconds of audio decoded so far.
        self.seconds = 0.0
        self._decoder = decoder
        self._source = source
        self._separate = configuration.multichannel
        self._detects_voice = source.wants_segments or configuration.audio_events
        self._long_silence = long_silence
        self._ear: Ear | None = None
        self._over = False
        self._drained = False

    @property
    def idle(self) -> bool:
        """Whether all bytes fed so far have been processed."""
        return self._decoder.idle and self._source.idle

    @property
    def finished(self) -> bool:
        """Whether ``finish`` was called and all audio has been processed."""
        return self._drained and self._source.idle

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._decoder.feed(data)

    def finish(self) -> None:
        """Declare the end of the audio."""
        self._over = True
        self._decoder.finish()

    def flush(self) -> list[SilenceStarted | SilenceOver]:
        """End all open speech segments and return silence events; call it when ``idle``."""
        return self._sort(self._ear.flush()) if self._ear else []

    def advance(self) -> list[SilenceStarted | SilenceOver]:
        """Process the samples decoded since the last call and return silence events.

        Raises:
            AudioError: the bytes have neither the declared nor a known audio format.
        """
        events: list[SilenceStarted | SilenceOver] = []
        for samples in self._decoder.take():
            rate, channels = self._decoder.rate, self._decoder.channels
            self.seconds += len(samples) / channels / rate
            self._source.hear(samples, rate=rate, channels=channels)
            if self._detects_voice:
                if self._ear is None:
                    self._ear = Ear(
                        rate=rate, channels=channels, separate=self._separate, long_silence=self._long_silence
                    )
                events += self._sort(self._ear.hear(samples))
        if self._over and not self._drained and self._decoder.finished:
            self._drained = True
            events += self.flush()
            self._source.finish()
        return events

    def lines(self) -> list[Line]:
        """Return the lines completed since the last call."""
        return self._source.take()

    def close(self) -> None:
        """End the decoder's thread, if there is one."""
        self._decoder.close()

    def _sort(self, events: list[VoiceEvent]) -> list[SilenceStarted | SilenceOver]:
        noticed = []
        for event in events:
            if isinstance(event, Segment):
                self._source.segment(event)
            else:
                noticed.append(event)
        return noticed
