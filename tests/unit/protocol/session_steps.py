"""A session, and short methods for the events that tests let happen to it."""

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
    """A session with a clock."""

    def __init__(self) -> None:
        super().__init__(CONFIGURATION, TIMINGS)
        self.now = 100.0

    def hears(self, *texts: dict[str, Any] | str) -> None:
        """Let messages arrive, one after the other, at the same moment."""
        for text in texts:
            self.received(text if isinstance(text, str) else json.dumps(text), self.now)

    def later(self, seconds: float) -> list[Command]:
        """Let time pass; return the session's commands."""
        self.now += seconds
        self.tick(self.now)
        return self.commands()

    def loses_its_socket(self, code: int | None = None) -> None:
        """Let the WebSocket close, with this code or without one."""
        self.closed(code, self.now)

    @property
    def outcome(self) -> str:
        """The session's state while it is open, then `good end` or the reason of its failure."""
        if self.state is not State.CLOSED:
            return str(self.state.value)
        return str(self.failure.reason) if self.failure else "good end"


def configuring() -> Played:
    """A session that has sent its configuration and has no answer yet."""
    session = Played()
    session.opened(session.now)
    assert session.commands() == [SEND_CONFIGURATION]
    return session


def streaming() -> Played:
    """A session whose configuration was accepted."""
    session = configuring()
    session.hears(ACCEPTED)
    return session


def ending() -> Played:
    """A session that has sent its `end`."""
    session = streaming()
    session.audio_ended(session.now)
    assert session.commands() == [SEND_END]
    return session
