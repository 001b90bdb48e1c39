"""Supplies streams with audio, and reads no further ahead than it must, to save memory.

Three threads can read it. The pacer reads samples of a file, a chunk at a time, as long as the system has
them in its page cache: data that is read, sent and dropped at once also stays in the processor's cache. One
thread for all streams reads other audio at hand (a disk that must be waited for, a container, inline audio) a
little ahead: waking each job's own thread would cost as much CPU as sending does. The job's own thread reads
audio that comes over a network (a download): there, waiting harms no other job.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Self

from worker.concurrency.background import BackgroundThread
from worker.concurrency.heartbeat import Heartbeat, waiting
from worker.corti.stream.conversation import Conversation
from worker.protocol.pace import Chunk, PcmChunks

#: Seconds of audio that are held ready (32 kB a second): little where it is at hand, so that thousands of
#: streams fit in memory; more where a network may be slow at times.
AT_HAND_SECONDS, DISTANT_SECONDS = 1.0, 2.0
_MIN_AHEAD, _MAX_AHEAD = 2, 64
#: How long a job that ends waits for another thread that is reading its audio.
LEAVE_SECONDS = 0.5
#: In place of the number of chunks at which to ask for more: ask only when there are none.
NEVER = -1
#: Seconds between two turns of the shared thread. This is less than a chunk lasts, so a stream that runs low
#: need not wake the thread; only a stream that has run out does.
_PERIOD = 0.05
_IDLE = 1.0


def chunks_ahead(chunk_seconds: float, speed: float, *, at_hand: bool) -> tuple[int, int]:
    """How many chunks to hold ready, and with how many left to ask for more."""
    seconds = AT_HAND_SECONDS if at_hand else DISTANT_SECONDS
    ahead = min(max(math.ceil(seconds * speed / chunk_seconds), _MIN_AHEAD), _MAX_AHEAD)
    # Few fills of many chunks are cheaper: each fill has to fetch a stream's whole state from memory.
    return ahead, ahead // 4 if at_hand else ahead // 2


class Feed:
    """The audio of one conversation on its way from the source to the pacer.

    Args:
        conversation: Takes the audio.
        chunks: The audio.
        ahead: Chunks to hold ready.
        attend: Has the pacer look at a conversation that waits for audio.
    """

    def __init__(
        self,
        conversation: Conversation,
        chunks: Iterator[Chunk],
        ahead: int,
        attend: Callable[[Conversation], None],
    ) -> None:
        self._conversation = conversation
        self._chunks = chunks
        self._ahead = ahead
        self._attend = attend
        self._failure: Exception | None = None
        self._over = self._stopped = False
        # The job closes the source when it ends, and must not do so while another thread reads it.
        self._lock = threading.Lock()

    @property
    def by_the_pacer(self) -> bool:
        """Whether the pacer may read audio itself, because that never waits."""
        return isinstance(self._chunks, PcmChunks) and self._chunks.can_tell

    def take(self) -> Chunk | None:
        """The next chunk, if that takes no waiting. For the pacer's thread."""
        assert isinstance(self._chunks, PcmChunks)  # noqa: S101  # by `by_the_pacer`
        if not self._lock.acquire(blocking=False):
            return None
        try:
            # Check under the lock: a job that ends takes the lock once and then closes the source.
            if self._over:
                return None
            # Chunks that were queued since the pacer looked come first. Under the lock nobody reads more.
            return self._conversation.next_queued() or self._chunks.ready()
        except BlockingIOError:
            return None
        finally:
            self._lock.release()

    def fill(self) -> None:
        """Refill the queue. An error of the source is kept for the job, see `check`."""
        conversation = self._conversation
        with self._lock:
            if self._over:
                return
            # Not below 0: the pacer may have queued a chunk that it read itself, one more than `ahead`.
            wanted = max(0, self._ahead - conversation.queued)
            try:
                batch = list(islice(self._chunks, wanted))
            except Exception as error:  # noqa: BLE001  # raised again by `check`, on the job's thread
                self._failure, self._over = error, True
                conversation.wake()
                return
            conversation.feed(batch)
            if len(batch) < wanted:
                self._over = True
                conversation.end_audio()
        if conversation.starved:
            self._attend(conversation)

    def check(self) -> None:
        """Raise what the source raised."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop reading the source. When this returns, no thread reads it, except one that hangs in a read.

        The job waits a moment for a read that is under way. In a file system that hangs, the read may never
        end. Then the job goes on without it, and the thread that hangs closes the file when its read ends.
        """
        if self._stopped:
            return
        self._stopped = self._over = True
        if self._lock.acquire(timeout=LEAVE_SECONDS):
            self._lock.release()


class Feeder(AbstractContextManager["Feeder"]):
    """The thread that reads audio at hand for all streams.

    Args:
        heartbeat: Beats at each turn. While the thread reads, it counts as waiting for a dependency.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._low: deque[Feed] = deque()
        self._feeds: set[Feed] = set()
        self._poked = threading.Event()
        self._stopping = False
        self._thread = BackgroundThread("feeder", self._run, heartbeat)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._poked.set()
        # The thread may hang in a file system; then the process ends without it.
        self._thread.join(LEAVE_SECONDS)

    @contextmanager
    def feeding(self, feed: Feed) -> Iterator[None]:
        """Feed a conversation while the block lasts."""
        self._feeds.add(feed)
        self._poked.set()
        try:
            yield
        finally:
            self._feeds.discard(feed)
            feed.stop()

    def low(self, feed: Feed, dry: bool) -> None:
        """Note that a conversation's audio runs low, or has run out (`dry`). From any thread; cheap."""
        self._low.append(feed)
        if dry:
            self._poked.set()

    def _run(self) -> None:
        while not self._stopping:
            self._heartbeat.beat()
            self._poked.wait(_PERIOD if self._feeds else _IDLE)
            self._poked.clear()
            while self._low:
                with waiting():  # for a disk, perhaps
                    self._low.popleft().fill()
