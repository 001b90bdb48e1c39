"""One stream between threads: the one that feeds its audio, the job's, which takes its news, and the pacer's.

Rule of ownership: the socket, the framing, the session and the schedule belong to the pacer's
thread alone (OpenSSL forbids two threads on one TLS socket, and no error would show it). What others
touch is listed in `__init__` and is safe to touch: deques, flags, one event.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from socket import socket

from worker.audio.pace import Chunk, Pace
from worker.corti.session import Close, Content, Ping, SendText, Session, State
from worker.corti.stream.frames import Alive, Closed, TextMessage
from worker.corti.stream.wire import MAX_UNSENT, Wire
from worker.errors import Reason, TransientError

#: How often a job that wants live events hears how far its audio is.
REPORT_SECONDS = 1.0
#: For the peer's close frame after ours.
_LINGER = 2.0


class Conversation:
    """A session with its socket, schedule and audio.

    Args:
        sock: Connected, upgraded, non-blocking.
        session: The protocol's rules.
        on_sent: Told of each chunk: bytes, seconds, lateness. Runs on the pacer's thread: be quick.
    """

    def __init__(self, sock: socket, session: Session, on_sent: Callable[[int, float, float], None]) -> None:
        self.wire = Wire(sock)
        self.session = session
        self.number = sock.fileno()
        # The pacer's notes: the tick it is put down for, and whether it waits for the socket to take data.
        self.tick: int | None = None
        self.blocked = False
        self.starved = False  # pacer: out of audio; whoever feeds pokes the pacer after feeding some
        self.done = False  # pacer: the session is over and all its news can be taken
        self._on_sent = on_sent
        self._pace: Pace | None = None
        self._linger_ends: float | None = None
        # Nothing but audio is due before this moment. It may be too early, never too late.
        self._look_at = 0.0
        self._aborted = False
        # Touched by several threads:
        self._audio: deque[Chunk] = deque()
        self._no_more_audio = False
        self._news: deque[Content] = deque()
        self._wake = threading.Event()
        self._live = False
        self._low = 0
        self._on_low: Callable[[bool], None] | None = None
        self._report_at = math.inf
        self._report_every = math.inf

    # -- the job's thread ----------------------------------------------------------------------

    def begin(self, pace: Pace, low: int, on_low: Callable[[bool], None], *, live: bool) -> None:
        """Say how the audio is to be sent.

        Args:
            pace: Its schedule.
            low: Chunks left at which to ask for more.
            on_low: Called then, and again when there are none left (True). On the pacer's thread: be quick.
            live: Wake the job for news and progress as they happen.
        """
        self._low = low
        self._on_low = on_low
        self._live = live
        if live:
            self._report_every = self._report_at = pace.speed * REPORT_SECONDS
        self._pace = pace

    def feed(self, chunks: Iterable[Chunk]) -> None:
        """Hand over audio."""
        self._audio.extend(chunks)

    def end_audio(self) -> None:
        """There is no more audio."""
        self._no_more_audio = True

    def abort(self) -> None:
        """Stop as soon as possible: the job cannot go on."""
        self._aborted = True

    @property
    def queued(self) -> int:
        """Chunks that wait for their time."""
        return len(self._audio)

    def wait(self) -> None:
        """Sleep until `wake`, live news, or the end of the session."""
        self._wake.wait()
        self._wake.clear()

    def wake(self) -> None:
        """End `wait`. From any thread."""
        self._wake.set()

    def news(self) -> list[Content]:
        """Take what the service said since the last call."""
        taken = []
        while self._news:
            taken.append(self._news.popleft())
        return taken

    @property
    def position(self) -> float:
        """Seconds of audio sent."""
        return self._pace.position if self._pace else 0.0

    # -- the pacer's thread --------------------------------------------------------------------

    def opened(self, now: float) -> None:
        """The pacer has taken over."""
        self.session.opened(now)
        self._settle(now)

    def readable(self, now: float) -> None:
        """Read what has arrived."""
        for item in self.wire.receive():
            match item:
                case TextMessage(text):
                    self.session.received(text, now)
                case Alive():
                    self.session.alive(now)
                case Closed(code):
                    self.session.closed(code, now)
                    self._linger_ends = now
        self._settle(now)

    def due(self, now: float) -> None:
        """Send what is due and let the session look at the time."""
        pace = self._pace
        if pace is not None and self.session.state is State.STREAMING and not self._aborted:
            if pace.due is None:
                pace.start(now)
            while pace.due <= now and self._send_chunk(pace, now):  # type: ignore[operator]  # set by `start`
                pass
        # The rest costs as much as the audio, and with most chunks there is nothing to it.
        if now >= self._look_at or self._aborted:
            if self._aborted:
                self.session.lost(TransientError(Reason.STREAM_INTERRUPTED, "the job gave its stream up"))
            self.session.tick(now)
            self._settle(now)

    def writable(self, now: float) -> None:
        """The socket takes data again."""
        self.wire.flush()
        self._settle(now)

    def next_due(self) -> float | None:
        """When to call `due` again, or None when only the peer or another thread can change anything."""
        if self._linger_ends is not None:
            return self._linger_ends
        at = self._look_at
        pace = self._pace
        if (
            pace is not None
            and self.session.state is State.STREAMING
            and not self.starved
            and not self.wire.unsent
        ):
            # Accepted, but the schedule has not begun: begin at once.
            at = 0.0 if pace.due is None else min(at, pace.due)
        return None if at == math.inf else at

    def finished(self, now: float) -> bool:
        """Whether the socket can be closed: both sides have said so, or the peer takes too long."""
        return self._linger_ends is not None and now >= self._linger_ends

    def close(self) -> None:
        """Close the socket; the last call. A session that is not over by then was cut short."""
        self.session.lost(
            TransientError(Reason.STREAM_INTERRUPTED, "the worker closed the stream before its end")
        )
        self.wire.close()
        self.done = True
        self._wake.set()

    def _send_chunk(self, pace: Pace, now: float) -> bool:
        if not self._audio:
            self.starved = True
            # Looked at again after the flag is up: the other thread feeds first and reads the flag
            # second, so one of the two sees the other, and no audio lies here unnoticed.
            if not self._audio:
                if self._no_more_audio:
                    self.session.audio_ended(now)
                    self._look_at = now
                elif self._on_low is not None:
                    self._on_low(True)
                return False
        self.starved = False
        chunk = self._audio.popleft()
        lateness = pace.sent(chunk.seconds, now)
        self.session.sent(len(chunk.data), now)
        self.wire.send_audio(chunk.data)
        self._on_sent(len(chunk.data), chunk.seconds, lateness)
        if len(self._audio) == self._low and self._on_low is not None:
            self._on_low(False)
        if pace.position >= self._report_at:
            self._report_at = pace.position + self._report_every
            self._wake.set()
        if self.wire.unsent or self.wire.broken:
            self._look_at = now
            return False
        return True

    def _settle(self, now: float) -> None:
        """Carry out what the session wants, hand on its news, and write."""
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
        elif self.wire.unsent > MAX_UNSENT:
            self.session.lost(TransientError(Reason.STREAM_INTERRUPTED, "the service stopped taking audio"))
            self._linger_ends = now
        news = self.session.messages()
        if news:
            self._news.extend(news)
        if self.session.state is State.CLOSED:
            self._linger_ends = now + _LINGER if self._linger_ends is None else self._linger_ends
            self.done = True
        if self.done or (news and self._live):
            self._wake.set()
        deadline = self.session.deadline
        self._look_at = math.inf if deadline is None else deadline
