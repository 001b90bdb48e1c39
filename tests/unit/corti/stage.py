"""A conversation on a socket in memory, and the part of the pacer that drives it."""

import math

from tests.unit.corti.memory_socket import MemorySocket, Service
from tests.unit.examples import job
from tests.unit.protocol.session_steps import TIMINGS
from worker.corti.stream.conversation import Conversation
from worker.corti.stream.feed import chunks_ahead
from worker.protocol.messages import configuration
from worker.protocol.pace import Chunk, Pace
from worker.protocol.session import Session

QUARTER = Chunk(bytes(8000), 0.25)


class Stage:
    """A conversation, its service, and the part of the pacer that drives them."""

    def __init__(self, *, speed: float = 1.0, live: bool = False, every: int = 16_000) -> None:
        self.sock = MemorySocket()
        self.service = Service(self.sock, every)
        self.sent_at: list[float] = []
        self.lateness: list[float] = []
        session = Session(configuration(job(), None), TIMINGS)
        self.conversation = Conversation(self.sock.as_socket, session, self._on_sent)
        self.dry = 0
        self.ahead, low = chunks_ahead(0.25, speed, at_hand=False)
        self.conversation.begin(Pace(speed), low, self._on_low, live=live)
        self.now = 50.0
        self.conversation.opened(self.now)

    def _on_sent(self, size: int, seconds: float, lateness: float) -> None:
        assert size > 0
        assert seconds > 0
        self.sent_at.append(self.now)
        self.lateness.append(lateness)

    def _on_low(self, dry: bool) -> None:
        self.dry += dry
        self.conversation.wake()

    def exchange(self) -> None:
        """Let both sides read what the other has sent, until there is nothing more."""
        while self.service.turn() or self.sock.inbox:
            self.conversation.readable(self.now)

    def accepted(self) -> "Stage":
        """Send the configuration and let the service accept it."""
        self.exchange()
        assert self.conversation.session.may_send_audio
        return self

    def turn(self, late: float = 0.0) -> bool:
        """Move time to the pacer's next turn and do it; return False when nothing will be due any more."""
        at = self.conversation.next_due()
        if at == math.inf or self.conversation.finished(self.now):
            return False
        self.now = max(self.now, at) + late
        self._run_due()
        self.exchange()
        return True

    def attend(self) -> None:
        """Let the pacer look at the conversation now, as after a call of `Pacer.attend`."""
        self.conversation.look(self.now)
        self._run_due()

    def _run_due(self) -> None:
        conversation = self.conversation
        while conversation.next_due() <= self.now and not conversation.finished(self.now):
            frame = conversation.frame(self.now)
            if frame is None:
                conversation.look(self.now)
            else:
                conversation.send(frame)
                conversation.sent(self.now)

    @property
    def woken(self) -> bool:
        """Whether the job's thread was woken since the last look."""
        return self.conversation._wakeup.wait(0)
