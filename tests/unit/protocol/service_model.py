"""A tiny model of the service's side of a stream, in memory, strict about the order of things."""

import json
from typing import Any


class ServiceModel:
    """Takes what a client sends and returns what the service would answer (PROTOCOL.md 4.5).

    Args:
        every: Bytes of audio after which a segment comes back.
        bytes_per_second: The rate of the audio, for the times of segments.

    Attributes:
        pieces: The binary messages with audio, in order of arrival.
    """

    def __init__(self, every: int = 16_000, bytes_per_second: int = 32_000) -> None:
        self.heard = 0
        self.pieces: list[bytes] = []
        self.closed_with: int | None = None
        self.configuration: dict[str, Any] | None = None
        self._every = every
        self._rate = bytes_per_second
        self._told = 0
        self._ended = False

    def text(self, text: str) -> list[str]:
        """Receive a text message; return the answers to it."""
        assert self.closed_with is None, "a message after the close"
        message = json.loads(text)
        if message["type"] == "config":
            assert self.configuration is None, "a second configuration"
            self.configuration = message["configuration"]
            return [json.dumps({"type": "CONFIG_ACCEPTED", "configuration": self.configuration})]
        assert message == {"type": "end"}
        assert self.configuration is not None, "an end before the configuration"
        assert not self._ended, "a second end"
        self._ended = True
        fact = {"id": "f1", "text": f"{self.heard} bytes heard", "isDiscarded": False, "source": "core"}
        return [
            *self._segments(everything=True),
            json.dumps({"type": "facts", "fact": [fact]}),
            json.dumps({"type": "usage", "credits": self.heard / self._rate / 60}),
            json.dumps({"type": "ENDED"}),
        ]

    def audio(self, data: bytes) -> list[str]:
        """Receive a binary message; return the answers to it."""
        assert self.configuration is not None, "audio before the configuration"
        assert not self._ended, "audio after the end"
        assert 0 < len(data) <= 64_000, "a chunk of a wrong size"
        self.heard += len(data)
        self.pieces.append(data)
        return self._segments(everything=False)

    def closed(self, code: int) -> None:
        """Receive the client's close."""
        assert self.closed_with is None, "a second close"
        self.closed_with = code

    def _segments(self, *, everything: bool) -> list[str]:
        answers = []
        while self.heard - self._told >= self._every or (everything and self.heard > self._told):
            start, self._told = self._told, min(self.heard, self._told + self._every)
            time = {"start": start / self._rate, "end": self._told / self._rate}
            piece = {"transcript": f"words {start}", "time": time, "speakerId": -1, "final": True}
            answers.append(json.dumps({"type": "transcript", "data": [piece]}))
        return answers
