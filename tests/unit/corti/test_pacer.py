"""The pacer's schedule of ticks, driven by the test: no thread is started, and time is an argument."""

import os
from collections.abc import Iterator
from socket import socket, socketpair

import pytest

from tests.fakes import FakeClock
from tests.unit.corti.memory_socket import MemorySocket, Service
from tests.unit.corti.stage import QUARTER
from tests.unit.examples import job
from tests.unit.protocol.session_steps import TIMINGS
from worker.concurrency.heartbeat import Heartbeat
from worker.corti.stream.conversation import Conversation
from worker.corti.stream.gate import AdmissionGate
from worker.corti.stream.pacer import TICK, Pacer
from worker.protocol.messages import configuration
from worker.protocol.pace import Chunk, Pace
from worker.protocol.session import Session

START = 50.0
SILENT = 1 << 30  # bytes of audio before the service sends a segment: none before the end


class Turned(Conversation):
    """A conversation that records when it sent a frame.

    Args:
        pacer: Its pacer.
        sock: Our end of its socket.
        peer: The other end, for a model of the service.
    """

    def __init__(self, pacer: Pacer, sock: socket, peer: socket) -> None:
        super().__init__(sock, Session(configuration(job(), None), TIMINGS), pacer.figures.sent)
        self.turns: list[float] = []
        self._peer = peer
        self._memory = MemorySocket()
        self.service = Service(self._memory, SILENT)

    def frame(self, now: float) -> bytes | None:
        frame = super().frame(now)
        if frame is not None:
            self.turns.append(now)
        return frame

    def serve(self) -> bool:
        """Let the service read what has arrived and answer; return whether there was anything."""
        try:
            data = self._peer.recv(1 << 20)
        except BlockingIOError:
            return False
        self._memory.sent += data
        self.service.turn()
        while self._memory.inbox:
            self._peer.sendall(self._memory.inbox.pop(0))
        return bool(data)


class Wheel:
    """A pacer, its conversations, and their clock."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.pacer = Pacer(self.clock, Heartbeat(self.clock), AdmissionGate())
        self.streams: list[Turned] = []
        self._sockets: list[socket] = []

    def stream(self, chunks: int, number: int | None = None) -> Turned:
        """Open a stream with so many chunks ready; with `number`, on the socket of this file descriptor."""
        here, there = socketpair()
        if number not in {None, here.fileno()}:
            assert number is not None
            os.dup2(here.fileno(), number)
            here.close()
            here = socket(fileno=number)
        for end in (here, there):
            end.setblocking(False)
            self._sockets.append(end)
        made = Turned(self.pacer, here, there)
        made.begin(Pace(1.0), 0, lambda _: None, live=False)
        made.feed([QUARTER] * chunks)
        self.streams.append(made)
        self.pacer.attend(made)
        self.settle()
        return made

    def settle(self) -> None:
        """Let the pacer and all services take turns at one moment, until nobody sends anything more."""
        self.turn()
        # `sum`, not `any`: each service must have its turn.
        while sum(stream.serve() for stream in self.streams):
            self.turn()

    def run(self, seconds: float) -> None:
        """Let so many seconds pass, tick by tick."""
        began = self.clock.monotonic()
        for step in range(1, round(seconds / TICK) + 1):
            self.clock.advance(began + step * TICK - self.clock.monotonic())
            self.settle()

    def turn(self) -> None:
        """One turn of the pacer's thread."""
        self.pacer.turn(self.clock.monotonic())
        self.pacer.poll(0.0)

    def close(self) -> None:
        """Close the pacer without having run it, and all sockets."""
        self.pacer._stopping = True
        with self.pacer:
            pass
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def wheel() -> Iterator[Wheel]:
    made = Wheel()
    yield made
    made.close()


def test_each_stream_is_turned_when_its_chunks_are_due_and_at_no_other_time(wheel: Wheel) -> None:
    first = wheel.stream(100)
    wheel.run(0.1)
    second = wheel.stream(100)
    wheel.run(1.0)
    for stream, began in (first, 0.0), (second, 0.1):
        at = [turn - START - began for turn in stream.turns]
        assert at[1:] == pytest.approx([0.25 * number for number in range(1, len(at))], abs=2.1 * TICK)
        assert at[0] <= 1.1 * TICK, "an accepted stream must begin in the next tick"
    assert (len(first.turns), len(second.turns)) == (5, 4)
    assert sum(wheel.pacer.figures.lateness) == 9
    # Each chunk is sent in the tick after it was due.
    assert wheel.pacer.figures.lateness_sum == pytest.approx(9 * TICK)
    assert first.service.model.heard == 5 * 8000


def test_chunks_of_many_streams_that_fall_due_in_one_tick_share_its_entry(wheel: Wheel) -> None:
    streams = [wheel.stream(100) for _ in range(5)]
    wheel.run(0.02)
    assert [len(stream.turns) for stream in streams] == [1] * 5
    # The streams were accepted in the same tick or in two successive ones.
    ticks = sorted({stream.tick for stream in streams if stream.tick is not None})
    assert len(ticks) <= 2
    assert sum(wheel.pacer._due[tick].count(stream) for tick in ticks for stream in streams) == 5
    assert sorted(wheel.pacer._ticks)[: len(ticks)] == ticks
    wheel.run(0.25)
    assert [len(stream.turns) for stream in streams] == [2] * 5


def test_a_scheduled_time_that_an_earlier_one_replaces_is_forgotten(wheel: Wheel) -> None:
    stream = wheel.stream(1)
    wheel.run(0.5)
    assert stream.starved
    # The stream is scheduled for its session's deadline, in 19.5 s. When audio comes, chunks are scheduled.
    overtaken = stream.tick
    stream.feed([QUARTER] * 200)
    wheel.pacer.attend(stream)
    wheel.settle()
    assert overtaken is not None
    assert stream.tick is not None
    assert stream.tick < overtaken
    assert stream not in wheel.pacer._due[overtaken], "the old entry was kept"
    stream.turns.clear()
    wheel.run(30.0)
    gaps = [after - before for before, after in zip(stream.turns, stream.turns[1:], strict=False)]
    assert gaps == pytest.approx([0.25] * 119, abs=2.1 * TICK)
    assert stream.service.pings == 1, "one ping is due after 20 s without a sign of life"


def test_a_stream_that_was_looked_at_again_in_vain_is_turned_once_at_its_time(wheel: Wheel) -> None:
    stream = wheel.stream(3)
    wheel.run(0.1)
    for _ in range(3):
        wheel.pacer.attend(stream)
        wheel.run(0.01)
    stream.turns.clear()
    wheel.run(0.2)
    assert len(stream.turns) == 1


def test_old_entries_of_a_closed_stream_do_not_touch_a_new_one_on_the_same_descriptor(wheel: Wheel) -> None:
    old = wheel.stream(1)
    wheel.run(0.3)
    overtaken = old.tick
    old.abort()
    wheel.pacer.attend(old)
    wheel.settle()
    assert (old.done, wheel.pacer.open_streams) == (True, 0)
    new = wheel.stream(100, number=old.number)
    assert wheel.pacer._open == {old.number: new}
    turns = len(old.turns)
    # The old stream's feeder calls once more, and its old entries fall due.
    wheel.pacer.attend(old)
    wheel.run(0.3)
    assert wheel.pacer._open == {old.number: new}
    assert len(old.turns) == turns
    assert len(new.turns) == 2
    assert overtaken is not None
    wheel.run(overtaken * TICK - wheel.clock.monotonic() + 0.01)
    assert len(old.turns) == turns
    assert new.session.failure is None
    assert new.service.model.configuration is not None


def test_a_peer_that_reads_nothing_for_a_while_gets_the_rest_later(wheel: Wheel) -> None:
    stream = wheel.stream(0)
    wheel.run(0.01)
    size = 60_000
    stream.feed([Chunk(bytes(size), 0.01)] * 8)
    wheel.pacer.attend(stream)
    # The peer does not read, so the socket fills up.
    for _ in range(20):
        wheel.clock.advance(TICK)
        wheel.turn()
    assert stream.blocked
    assert stream.transport.unsent > 0
    wheel.run(0.3)
    assert (stream.blocked, stream.transport.unsent) == (False, 0)
    assert stream.service.model.heard == 8 * size


def test_a_stream_that_has_ended_is_closed_and_forgotten(wheel: Wheel) -> None:
    stream = wheel.stream(2)
    stream.end_audio()
    wheel.run(0.6)
    assert stream.done
    assert stream.session.failure is None
    assert stream.transport.sock.fileno() == -1
    assert wheel.pacer.open_streams == 0
