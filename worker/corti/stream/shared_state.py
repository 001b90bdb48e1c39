"""The part of a conversation that the job's thread and the feeder's may use, too.

All of it is safe for several threads: deques, flags, one `Wakeup`. The rest belongs to the pacer's thread.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable

from worker.concurrency.wakeup import Wakeup
from worker.protocol.pace import Chunk, Pace
from worker.protocol.session import Content

#: Seconds between two reports to a job that wants live events of how much of its audio was sent.
REPORT_SECONDS = 1.0


class SharedState:
    """Audio in, messages out, and a way to sleep until there is something to do."""

    def __init__(self) -> None:
        # The pacer sets these. `starved`: there is no audio; a thread that feeds some then wakes the pacer.
        self.starved = False
        self.done = False  # the session is over and all its messages can be taken
        # When the pacer took over the stream, and when its first segment arrived.
        self.opened_at = 0.0
        self.heard_at: float | None = None
        # Before this moment only audio can be due. The value may be too early, never too late.
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
            on_low: Called with False at `low`, with True when none are left. On the pacer's thread: be quick.
            live: Wake the job for messages and progress as they happen.
            take: Called when none are left; returns the next chunk, or None. On the pacer's thread: it must
                not wait.
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
        """The chunk that has waited longest, or None. Only the pacer's thread takes chunks."""
        return self._audio.popleft() if self._audio else None

    @property
    def queued(self) -> int:
        """Chunks that wait for their time."""
        return len(self._audio)

    def wait(self) -> None:
        """Sleep until `wake`, a message for a job with live events, many messages, or the session's end."""
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
