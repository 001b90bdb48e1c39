"""One stream, as the pacer's thread handles it.

Rule of ownership: the socket, the framing, the session and the schedule belong to the pacer's
thread alone (OpenSSL forbids two threads on one TLS socket, and no error would show it). What other
threads may use is in `SharedState`.
"""

import math
from collections.abc import Callable
from socket import socket

from worker.contract.errors import Reason, TransientError
from worker.corti.stream.frames import Alive, Closed, TextMessage, audio_frame
from worker.corti.stream.shared_state import SharedState
from worker.corti.stream.transport import Transport
from worker.protocol.messages import TranscriptMessage
from worker.protocol.session import Close, Ping, SendText, Session, State

#: With so many messages in the queue, a job is woken even if it wants no live events. The job merges them,
#: which frees memory: else replaced words and outdated facts would stay here until the consultation ends.
PILE = 50
#: Seconds to wait for the peer's close frame after ours.
_LINGER = 2.0


class Conversation(SharedState):
    """A session with its socket, schedule and audio.

    The pacer sends audio in three steps: `frame`, `send`, `sent`. It takes each step for all due streams
    before it begins the next step. `look` does all other work: it costs more than sending audio does, and it
    seldom has anything to do.

    Args:
        sock: Connected, upgraded, non-blocking.
        session: The protocol's rules.
        on_sent: Called for each chunk with bytes, seconds, lateness, on the pacer's thread: it must be quick.
    """

    def __init__(self, sock: socket, session: Session, on_sent: Callable[[int, float, float], None]) -> None:
        super().__init__()
        self.transport = Transport(sock)
        self.session = session
        self.number = sock.fileno()
        # Set by the pacer: the tick in which this conversation is due, and whether bytes wait for the socket.
        self.tick: int | None = None
        self.blocked = False
        self.bytes_sent = 0
        self._size, self._seconds = 0, 0.0  # of the chunk that `frame` gave
        self._on_sent = on_sent
        self._linger_ends: float | None = None
        # When the next chunk may be sent: infinity while audio is missing or cannot be sent.
        self._audio_at = math.inf

    def opened(self, now: float) -> None:
        """The pacer has taken over."""
        self.opened_at = now
        self.session.opened(now)
        self._settle(now)

    def frame(self, now: float) -> bytes | None:
        """The chunk that is due, as a frame; None when there is none at hand: then call `look`."""
        if self._look_at <= now or self._audio_at > now:
            return None
        chunk = self._audio.popleft() if self._audio else self._take and self._take()
        if not chunk:
            return None
        data, self._seconds = chunk
        self._size = len(data)
        return audio_frame(data)

    def send(self, frame: bytes) -> None:
        """Send what `frame` gave."""
        if not self.transport.send(frame):
            self._look_at = 0.0

    def sent(self, now: float) -> float:
        """Note that the chunk of `frame` was sent; returns when this conversation is due again."""
        pace = self._pace
        assert pace is not None  # noqa: S101  # without it there is no schedule, and so no chunk
        lateness = pace.sent(self._seconds, now)
        self._audio_at = pace.due
        self.bytes_sent += self._size
        self._on_sent(self._size, self._seconds, lateness)
        if len(self._audio) == self._low and self._on_low is not None:
            self._on_low(False)
        if pace.position >= self._report_at:
            self._report_at = pace.position + self._report_every
            self._wakeup.wake()
        return min(self._audio_at, self._look_at)

    def readable(self, now: float) -> bool:
        """Read what has arrived; returns whether that may have changed `next_due`."""
        session = self.session
        before = session.state
        closed = False
        for item in self.transport.receive():
            if isinstance(item, TextMessage):
                session.received(item.data, now)
            elif isinstance(item, Alive):
                session.alive(now)
            elif isinstance(item, Closed):
                session.closed(item.code, now)
                self._linger_ends = now
                closed = True
        if closed or session.state is not before:
            self._settle(now)
            return True
        # Most messages do not change the state of the session: they are only handed on.
        self._hand_on(now)
        if self.transport.flush():
            return False
        self._settle(now)
        return True

    def look(self, now: float) -> None:
        """Do all that can be due, except sending a chunk that is at hand."""
        if self._aborted:
            self.session.lost(TransientError(Reason.STREAM_INTERRUPTED, "the job gave its stream up"))
        self.session.tick(now)
        self._starve(now)
        self._settle(now)

    def writable(self, now: float) -> None:
        """The socket accepts data again: send what waits."""
        self.transport.flush()
        self._settle(now)

    def next_due(self) -> float:
        """When this conversation is due again; infinity if only the peer or another thread changes that."""
        return min(self._audio_at, self._look_at) if self._linger_ends is None else self._linger_ends

    def finished(self, now: float) -> bool:
        """Whether the socket can be closed: both sides have closed the stream, or the peer takes too long."""
        return self._linger_ends is not None and now >= self._linger_ends

    def close(self) -> None:
        """Close the socket; the last call. A session that is not over by then was cut short."""
        self.session.lost(
            TransientError(Reason.STREAM_INTERRUPTED, "the worker closed the stream before its end")
        )
        self.transport.close()
        # These callbacks refer back to this object. Break the cycle: garbage collections are rare here.
        self._take = self._on_low = None
        self.done = True
        self._wakeup.wake()

    def _starve(self, now: float) -> None:
        """If audio is due and there is none, ask for more, or end."""
        pace = self._pace
        self.starved = False
        if pace is None or self.session.state is not State.STREAMING or self._audio or pace.due > now:
            return
        if self._take and (chunk := self._take()):
            # At the front: the feeder may have queued later chunks since then.
            self._audio.appendleft(chunk)
            return
        self.starved = True
        # Read this flag before the queue: another thread queues the last chunks first and sets the flag then.
        # If the queue were read first, both could happen in between, and the last chunks would not be sent.
        ended = self._no_more_audio
        # Check the queue again after `starved` is set: the other thread queues chunks first and reads
        # `starved` second. So one of the two threads notices the other, and no audio stays here unsent.
        if self._audio:
            self.starved = False
        elif ended:
            self.session.audio_ended(now)
        elif self._on_low is not None:
            self._on_low(True)

    def _settle(self, now: float) -> None:
        """Carry out the session's commands, write, hand on its messages, and set the due times."""
        for command in self.session.commands():
            match command:
                case SendText(text):
                    self.transport.framing.text(text)
                case Ping():
                    self.transport.framing.ping()
                case Close():
                    self.transport.framing.close()
        self.transport.flush()
        if self.transport.broken:
            self.session.closed(None, now)
            self._linger_ends = now
        self._hand_on(now)
        if self.session.state is State.CLOSED:
            self._linger_ends = now + _LINGER if self._linger_ends is None else self._linger_ends
            self.done = True
            self._wakeup.wake()
        deadline = self.session.deadline
        self._look_at = math.inf if deadline is None else deadline
        self._audio_at = math.inf
        pace = self._pace
        if pace is not None and self.session.state is State.STREAMING:
            if not pace.started:
                pace.start(now)
            if not (self.transport.unsent or self.starved):
                self._audio_at = pace.due

    def _hand_on(self, now: float) -> None:
        """Queue the service's messages for the job, and wake the job if it should take them now."""
        messages = self.session.messages()
        if messages:
            if self.heard_at is None and any(isinstance(one, TranscriptMessage) for one in messages):
                self.heard_at = now
            self._messages.extend(messages)
            if self._live or len(self._messages) >= PILE:
                self._wakeup.wake()
