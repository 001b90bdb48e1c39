"""What threads other than the pacer's touch of a conversation: the job's own, and the feeder's.

All of it is safe to touch: deques, flags, one event. The rest of a conversation belongs to the pacer.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable

from worker.concurrency.wakeup import Wakeup
from worker.protocol.pace import Chunk, Pace
from worker.protocol.session import Content

#: How often a job that wants live events hears how far its audio is.
REPORT_SECONDS = 1.0


class SharedState:
    """Audio in, messages out, and a way to sleep until there is something to do."""

    def __init__(self) -> None:
        self.starved = False  # pacer: out of audio; whoever feeds pokes the pacer after feeding some
        self.done = False  # pacer: the session is over and all its messages can be taken
        # Pacer: when the stream was taken over, and when its first segment arrived.
        self.opened_at = 0.0
        self.heard_at: float | None = None
        # Nothing but audio is due before this moment. It may be too early, never too late.
        self._look_at = 0.0
        self._aborted = False
        self._pace: Pace | None = None
        self._audio: deque[Chunk] = deque()
        self._take: Callable[[], Chunk | None] | None = None
        self._no_more_audio = False
        self._messages: deque[Content] = deque()
        self._wakeup = Wakeup()
        self._live = False
        self._low = 0
        self._on_low: Callable[[bool], None] | None = None
        self._report_at = math.inf
        self._report_every = math.inf

    def begin(
        self,
        pace: Pace,
        low: int,
        on_low: Callable[[bool], None],
        *,
        live: bool,
        take: Callable[[], Chunk | None] | None = None,
    ) -> None:
        """Say how the audio is to be sent.

        Args:
            pace: Its schedule.
            low: Chunks left at which to ask for more.
            on_low: Called then, and again when there are none left (True). On the pacer's thread: be quick.
            live: Wake the job for messages and progress as they happen.
            take: Gives the next chunk when there are none left, or None. On the pacer's thread: never waits.
        """
        self._take = take
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
        self._look_at = 0.0

    def next_queued(self) -> Chunk | None:
        """The chunk that waits longest, if one does. For the pacer's thread, which alone takes any."""
        return self._audio.popleft() if self._audio else None

    @property
    def queued(self) -> int:
        """Chunks that wait for their time."""
        return len(self._audio)

    def wait(self) -> None:
        """Sleep until `wake`, a message for who listens live, or the end of the session."""
        self._wakeup.wait()

    def wake(self) -> None:
        """End `wait`. From any thread."""
        self._wakeup.wake()

    def messages(self) -> list[Content]:
        """Take what the service said since the last call."""
        taken = []
        while self._messages:
            taken.append(self._messages.popleft())
        return taken

    @property
    def position(self) -> float:
        """Seconds of audio sent."""
        return self._pace.position if self._pace else 0.0
