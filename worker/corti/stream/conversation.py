"""One stream as the pacer moves it.

Rule of ownership: the socket, the framing, the session and the schedule belong to the pacer's
thread alone (OpenSSL forbids two threads on one TLS socket, and no error would show it). What others
touch is in `SharedState`.
"""

import math
from collections.abc import Callable
from socket import socket

from worker.contract.errors import Reason, TransientError
from worker.corti.stream.frames import Alive, Closed, TextMessage, audio_frame
from worker.corti.stream.shared_state import SharedState
from worker.corti.stream.wire import Wire
from worker.protocol.messages import TranscriptMessage
from worker.protocol.session import Close, Ping, SendText, Session, State

#: Messages for which a job is woken that wants none of them live. Put together they shrink: words that are
#: replaced and facts that change would lie here as long as the consultation lasts.
PILE = 50
#: For the peer's close frame after ours.
_LINGER = 2.0


class Conversation(SharedState):
    """A session with its socket, schedule and audio.

    The pacer sends audio in three steps, each for all streams that are due before the next one begins:
    `frame`, `send`, `sent`. All else is `look`: it costs more than the audio, and there is seldom
    anything to it.

    Args:
        sock: Connected, upgraded, non-blocking.
        session: The protocol's rules.
        on_sent: Told of each chunk: bytes, seconds, lateness. Runs on the pacer's thread: be quick.
    """

    def __init__(self, sock: socket, session: Session, on_sent: Callable[[int, float, float], None]) -> None:
        super().__init__()
        self.wire = Wire(sock)
        self.session = session
        self.number = sock.fileno()
        # The pacer's notes: the tick it is put down for, and whether it waits for the socket to take data.
        self.tick: int | None = None
        self.blocked = False
        self.bytes_sent = 0
        self._size, self._seconds = 0, 0.0  # of the chunk that `frame` gave
        self._on_sent = on_sent
        self._linger_ends: float | None = None
        # When the next chunk may go out: infinity while there is none, or something is in its way.
        self._audio_at = math.inf

    def opened(self, now: float) -> None:
        """The pacer has taken over."""
        self.opened_at = now
        self.session.opened(now)
        self._settle(now)

    def frame(self, now: float) -> bytes | None:
        """The chunk that is due, ready to be sent; None when there is none at hand: it is `look`'s turn."""
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
        if not self.wire.send(frame):
            self._look_at = 0.0

    def sent(self, now: float) -> float:
        """The chunk of `frame` has gone out; when to look here again."""
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
        """Read what has arrived; whether it changed when to look here again."""
        session = self.session
        before = session.state
        closed = False
        for item in self.wire.receive():
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
        # Most messages change nothing but what is known.
        self._hand_on(now)
        if self.wire.flush():
            return False
        self._settle(now)
        return True

    def look(self, now: float) -> None:
        """All that can be due but a chunk that is at hand."""
        if self._aborted:
            self.session.lost(TransientError(Reason.STREAM_INTERRUPTED, "the job gave its stream up"))
        self.session.tick(now)
        self._starve(now)
        self._settle(now)

    def writable(self, now: float) -> None:
        """The socket takes data again."""
        self.wire.flush()
        self._settle(now)

    def next_due(self) -> float:
        """When to look here again; infinity when only the peer or another thread can change anything."""
        return min(self._audio_at, self._look_at) if self._linger_ends is None else self._linger_ends

    def finished(self, now: float) -> bool:
        """Whether the socket can be closed: both sides have said so, or the peer takes too long."""
        return self._linger_ends is not None and now >= self._linger_ends

    def close(self) -> None:
        """Close the socket; the last call. A session that is not over by then was cut short."""
        self.session.lost(
            TransientError(Reason.STREAM_INTERRUPTED, "the worker closed the stream before its end")
        )
        self.wire.close()
        # They lead back here. Python finds such circles only when it looks for them, which is seldom.
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
            # In front: the feeder may have read on and queued more since then.
            self._audio.appendleft(chunk)
            return
        self.starved = True
        # Read before the queue: the last chunks are put there before the end is said. The other way round
        # both could happen in between, and the stream would be ended without them.
        ended = self._no_more_audio
        # Looked at again after the flag is up: the other thread feeds first and reads the flag
        # second, so one of the two sees the other, and no audio lies here unnoticed.
        if self._audio:
            self.starved = False
        elif ended:
            self.session.audio_ended(now)
        elif self._on_low is not None:
            self._on_low(True)

    def _settle(self, now: float) -> None:
        """Carry out what the session wants, hand on its messages, write, and say when what is due."""
        for command in self.session.commands():
            match command:
                case SendText(text):
                    self.wire.framing.text(text)
                case Ping():
                    self.wire.framing.ping()
                case Close():
                    self.wire.framing.close()
        self.wire.flush()
        if self.wire.broken:
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
            if not (self.wire.unsent or self.starved):
                self._audio_at = pace.due

    def _hand_on(self, now: float) -> None:
        """Hand on what the service said."""
        messages = self.session.messages()
        if messages:
            if self.heard_at is None and any(isinstance(one, TranscriptMessage) for one in messages):
                self.heard_at = now
            self._messages.extend(messages)
            if self._live or len(self._messages) >= PILE:
                self._wakeup.wake()
