"""One thread that moves the audio of all streams (design, decision 1; measurements in the README).

A heap of due times and one poll for all sockets, at most once a tick. What the thread must never do
is block: sockets do not, and it neither logs nor talks to Redis, a broker or a disk.
"""

import heapq
import select
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

from worker import measures
from worker.clock import Clock
from worker.corti.stream.conversation import Conversation
from worker.ports import Recorder

#: The least time between two turns. All chunks that fall due within it cost one wake-up; 1 ms costs
#: a fifth more CPU per stream, and 5 ms of lateness is a fiftieth of a chunk.
TICK = 0.005
_IDLE = 1.0
_READ = selectors.EVENT_READ
_READ_WRITE = selectors.EVENT_READ | selectors.EVENT_WRITE


class Pacer(AbstractContextManager["Pacer"]):
    """Owns every open stream's socket.

    Args:
        clock: For time.
        recorder: For metrics, added up over a turn.
        beat: Called at each turn, as a sign of life.
    """

    def __init__(self, clock: Clock, recorder: Recorder, beat: Callable[[], None]) -> None:
        self._clock = clock
        self._recorder = recorder
        self._beat = beat
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._selector.register(self._wake_out, _READ, None)
        self._inbox: deque[Conversation] = deque()
        self._heap: list[tuple[float, int, Conversation]] = []
        self._scheduled: dict[Conversation, float] = {}
        self._order = 0
        self._stopping = False
        self._bytes = 0
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="pacer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop. Streams that are still open are cut: the jobs must be over before."""
        self._stopping = True
        self._poke()
        self._thread.join()
        self._selector.close()
        self._wake_out.close()
        self._wake_in.close()

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return len(self._scheduled)

    def attend(self, conversation: Conversation) -> None:
        """Take over a new conversation, or look at a known one again. From any thread."""
        self._inbox.append(conversation)
        self._poke()

    def sent(self, size: int, seconds: float, lateness: float) -> None:
        """A chunk went out; for `Conversation`, on this thread."""
        self._bytes += size
        self._seconds += seconds
        self._recorder.observe(measures.PACING_LATENESS, lateness)

    def _poke(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except BlockingIOError:
            pass  # a wake-up is under way already
        except OSError:
            if not self._stopping:
                raise

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            began = self._clock.monotonic()
            self._beat()
            self._take_in(began)
            self._run_due(began)
            self._report()
            now = self._clock.monotonic()
            # A pause without looking at the sockets, so that what arrives meanwhile is read in one go.
            if self._scheduled and now - began < TICK:
                select.select((), (), (), TICK - (now - began))
                now = self._clock.monotonic()
            wait = self._heap[0][0] - now if self._heap else _IDLE
            self._poll(min(max(wait, 0.0), _IDLE))
        for conversation in tuple(self._scheduled):
            self._drop(conversation)
        while self._inbox:  # those that came too late: their jobs wait for an end, too
            self._inbox.popleft().close()

    def _take_in(self, now: float) -> None:
        while self._inbox:
            conversation = self._inbox.popleft()
            if conversation in self._scheduled:
                self._serve(conversation, now)
            elif conversation.wire.sock.fileno() >= 0:
                self._selector.register(conversation.wire.sock, _READ, conversation)
                self._scheduled[conversation] = float("inf")
                conversation.opened(now)
                self._serve(conversation, now)

    def _run_due(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            at, _, conversation = heapq.heappop(self._heap)
            # Entries are not taken out when a conversation is scheduled anew: those are old ones.
            if self._scheduled.get(conversation) == at:
                self._scheduled[conversation] = float("inf")
                self._serve(conversation, now)

    def _serve(self, conversation: Conversation, now: float) -> None:
        conversation.due(now)
        self._schedule(conversation, now)

    def _poll(self, timeout: float) -> None:
        ready = self._selector.select(timeout)
        now = self._clock.monotonic()
        for key, events in ready:
            conversation: Conversation | None = key.data
            if conversation is None:
                self._wake_out.recv(4096)
                continue
            if events & selectors.EVENT_WRITE:
                conversation.writable(now)
            if events & _READ:
                conversation.readable(now)
            self._schedule(conversation, now)

    def _schedule(self, conversation: Conversation, now: float) -> None:
        if conversation.finished(now):
            self._drop(conversation)
            return
        wanted = _READ_WRITE if conversation.wire.unsent else _READ
        if self._selector.get_key(conversation.wire.sock).events != wanted:
            self._selector.modify(conversation.wire.sock, wanted, conversation)
        at = conversation.next_due()
        if at is not None and at < self._scheduled[conversation]:
            self._scheduled[conversation] = at
            self._order += 1
            heapq.heappush(self._heap, (at, self._order, conversation))

    def _drop(self, conversation: Conversation) -> None:
        self._selector.unregister(conversation.wire.sock)
        del self._scheduled[conversation]
        conversation.close()

    def _report(self) -> None:
        if self._bytes:
            self._recorder.count(measures.AUDIO_BYTES, self._bytes)
            self._recorder.count(measures.AUDIO_SECONDS, self._seconds)
            self._bytes, self._seconds = 0, 0.0
