"""One thread that sends the audio of all streams (measurements in the README).

Due times are rounded up to ticks, and one poll serves all sockets. The thread must never block: its
sockets are non-blocking, and it neither logs nor talks to Redis, a broker or a disk.
"""

import heapq
import math
import select
import socket
from bisect import bisect_left
from collections import deque
from contextlib import AbstractContextManager
from typing import Self

from worker.clock import Clock
from worker.concurrency.background import BackgroundThread
from worker.concurrency.heartbeat import Heartbeat
from worker.corti.stream.conversation import Conversation
from worker.corti.stream.gate import AdmissionGate
from worker.telemetry import catalogue

#: Least seconds between two turns. All chunks that fall due within a tick cost one wake-up. Half the tick
#: would cost an eighth more CPU at 1,000 streams, and 10 ms of lateness is only a 25th of a chunk.
TICK = 0.01
_IDLE = 1.0
_READ = select.EPOLLIN
_READ_WRITE = select.EPOLLIN | select.EPOLLOUT


class Figures:
    """Totals of what was sent. The pacer counts, because that costs least; other threads read at each scrape.

    Attributes:
        bytes: Of audio.
        seconds: Of audio.
        lateness: Chunks by lateness: one count for each bucket of `catalogue.PACING_LATENESS`, and the rest.
        lateness_sum: Seconds.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.seconds = 0.0
        self.lateness = [0] * (len(catalogue.PACING_LATENESS.buckets) + 1)
        self.lateness_sum = 0.0

    def sent(self, size: int, seconds: float, lateness: float) -> None:
        """A chunk went out."""
        self.bytes += size
        self.seconds += seconds
        self.lateness[bisect_left(catalogue.PACING_LATENESS.buckets, lateness)] += 1
        self.lateness_sum += lateness


class Pacer(AbstractContextManager["Pacer"]):
    """Owns every open stream's socket.

    Args:
        clock: For time.
        heartbeat: Beats at each turn.
        gate: Admits steps of jobs when audio leaves time.
    """

    def __init__(self, clock: Clock, heartbeat: Heartbeat, gate: AdmissionGate) -> None:
        self.figures = Figures()
        self._gate = gate
        gate.guard(self._poke)
        self._clock = clock
        self._beat = heartbeat.beat
        self._epoll = select.epoll()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._epoll.register(self._wake_out, _READ)
        self._inbox: deque[Conversation] = deque()
        self._open: dict[int, Conversation] = {}
        # The conversations to look at in each tick to come, and the ticks in order.
        self._due: dict[int, list[Conversation]] = {}
        self._ticks: list[int] = []
        self._stopping = False
        self._thread = BackgroundThread("pacer", self._run, heartbeat)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop. Streams that are still open are cut off, so the jobs must have ended before."""
        self._stopping = True
        self._poke()
        self._thread.join()
        self._epoll.close()
        self._wake_out.close()
        self._wake_in.close()

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def attend(self, conversation: Conversation) -> None:
        """Take over a new conversation, or look at a known one again. From any thread."""
        self._inbox.append(conversation)
        self._poke()

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
        clock = self._clock
        while not self._stopping:
            began = clock.monotonic()
            late = began - self._ticks[0] * TICK if self._ticks else 0.0
            self._beat()
            self.turn(began)
            now = clock.monotonic()
            self._gate.turned(len(self._open), late, TICK - (now - began))
            # A pause without looking at the sockets, so that what arrives meanwhile is read in one go.
            if self._open and now - began < TICK:
                select.select((), (), (), TICK - (now - began))
                now = clock.monotonic()
            wait = self._ticks[0] * TICK - now if self._ticks else _IDLE
            self.poll(min(max(wait, 0.0), TICK if self._gate.wanted else _IDLE))
        for conversation in tuple(self._open.values()):
            self._drop(conversation)
        while self._inbox:  # those that came too late: their jobs wait for an end, too
            self._inbox.popleft().close()

    def turn(self, now: float) -> None:
        """Take in new conversations, and send what is due."""
        self._take_in(now)
        self._run_due(now)

    def poll(self, timeout: float) -> None:
        """Read what has arrived, or wait for it until `timeout` is over, and write what had to wait."""
        ready = self._epoll.poll(timeout)
        now = self._clock.monotonic()
        for number, events in ready:
            conversation = self._open.get(number)
            if conversation is None:
                self._wake_out.recv(4096)
                continue
            changed = False
            if events & select.EPOLLOUT:
                conversation.writable(now)
                changed = True
            if events & ~select.EPOLLOUT:
                changed |= conversation.readable(now)
            if changed:
                self._settle(conversation, now)

    def _take_in(self, now: float) -> None:
        while self._inbox:
            conversation = self._inbox.popleft()
            number = conversation.number
            if self._open.get(number) is conversation:
                conversation.look(now)
                self._settle(conversation, now)
            elif conversation.transport.sock.fileno() >= 0:
                self._epoll.register(number, _READ)
                self._open[number] = conversation
                conversation.opened(now)
                self._settle(conversation, now)

    def _run_due(self, now: float) -> None:
        ticks = self._ticks
        while ticks and ticks[0] * TICK <= now:
            tick = heapq.heappop(ticks)
            ready = []
            for conversation in self._due.pop(tick):
                conversation.tick = None
                frame = conversation.frame(now)
                if frame is not None:
                    ready.append((conversation, frame))
                else:
                    conversation.look(now)
                    self._settle(conversation, now)
            # Send all frames one right after the other: a peer on another core falls asleep in a longer
            # pause and then has to be woken for the next frame.
            for conversation, frame in ready:
                conversation.send(frame)
            after = self._clock.monotonic()
            for conversation, _ in ready:
                self._put_down(conversation, conversation.sent(after))

    def _settle(self, conversation: Conversation, now: float) -> None:
        """Schedule a conversation for when it is due next, or drop it if it is finished."""
        if conversation.finished(now):
            self._drop(conversation)
            return
        blocked = conversation.transport.unsent > 0
        if blocked is not conversation.blocked:
            conversation.blocked = blocked
            self._epoll.modify(conversation.number, _READ_WRITE if blocked else _READ)
        self._put_down(conversation, conversation.next_due())

    def _put_down(self, conversation: Conversation, at: float) -> None:
        """Schedule a conversation for the first tick after `at`."""
        if at == math.inf:
            return
        tick = int(at / TICK) + 1
        if conversation.tick is not None:
            if conversation.tick <= tick:
                return
            self._pick_up(conversation)
        conversation.tick = tick
        due = self._due.get(tick)
        if due is None:
            self._due[tick] = [conversation]
            heapq.heappush(self._ticks, tick)
        else:
            due.append(conversation)

    def _pick_up(self, conversation: Conversation) -> None:
        """Undo `_put_down`. Else a stream that is over would stay in memory until its tick: two minutes."""
        if conversation.tick is not None and (due := self._due.get(conversation.tick)):
            due.remove(conversation)
        conversation.tick = None

    def _drop(self, conversation: Conversation) -> None:
        self._epoll.unregister(conversation.number)
        del self._open[conversation.number]
        self._pick_up(conversation)
        conversation.close()
