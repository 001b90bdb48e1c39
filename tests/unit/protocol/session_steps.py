"""A session and the few words in which the tests tell it what happened."""

import json
from typing import Any

from worker.protocol.session import Close, Command, Ping, SendText, Session, State, Timings

CONFIGURATION = '{"type":"config"}'
TIMINGS = Timings(config=15, ping=20, pong=10, end=120)
ACCEPTED = {"type": "CONFIG_ACCEPTED"}
ENDED = {"type": "ENDED"}
USAGE = {"type": "usage", "credits": 0.5}
TRANSCRIPT = {"type": "transcript", "data": [{"transcript": "it hurts", "time": {"start": 0, "end": 1}}]}
FACTS = {"type": "facts", "fact": [{"id": "f1", "text": "pain"}]}
SEND_CONFIGURATION = SendText(CONFIGURATION)
SEND_END = SendText('{"type":"end"}')

__all__ = ["Close", "Ping", "State"]


def error(code: str = "audio-stalled", status: int = 500) -> dict[str, Any]:
    """An `error` message of the service."""
    return {"type": "error", "error": {"id": code, "status": status}}


class Played(Session):
    """A session at a moment of its life, and a clock for it."""

    def __init__(self) -> None:
        super().__init__(CONFIGURATION, TIMINGS)
        self.now = 100.0

    def hears(self, *texts: dict[str, Any] | str) -> None:
        """Messages arrive, one after the other, at once."""
        for text in texts:
            self.received(text if isinstance(text, str) else json.dumps(text), self.now)

    def later(self, seconds: float) -> list[Command]:
        """Time passes; the commands that it brings."""
        self.now += seconds
        self.tick(self.now)
        return self.commands()

    def loses_its_socket(self, code: int | None = None) -> None:
        """The WebSocket is gone."""
        self.closed(code, self.now)

    @property
    def outcome(self) -> str:
        """How it stands: a state, a good end, or a reason."""
        if self.state is not State.CLOSED:
            return str(self.state.value)
        return str(self.failure.reason) if self.failure else "good end"


def configuring() -> Played:
    """The configuration is out, and nothing has come back yet."""
    session = Played()
    session.opened(session.now)
    assert session.commands() == [SEND_CONFIGURATION]
    return session


def streaming() -> Played:
    """The configuration is accepted."""
    session = configuring()
    session.hears(ACCEPTED)
    return session


def ending() -> Played:
    """Our `end` is out."""
    session = streaming()
    session.audio_ended(session.now)
    assert session.commands() == [SEND_END]
    return session
