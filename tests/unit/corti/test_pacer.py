"""The pacer's wheel of ticks, turned by hand: its thread is not started, and time is an argument."""

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
SILENT = 1 << 30  # a service that says nothing before the end, however much it hears


class Turned(Conversation):
    """A conversation that knows when it was turned.

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
        """Let the service take what has arrived and answer; whether there was anything."""
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
    """A pacer, its conversations, and the time."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.pacer = Pacer(self.clock, Heartbeat(self.clock), AdmissionGate())
        self.streams: list[Turned] = []
        self._sockets: list[socket] = []

    def stream(self, chunks: int, number: int | None = None) -> Turned:
        """Open a stream with so much audio ready, on a socket of this number if there is one."""
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
        """The pacer's turns at one moment, until everybody has said what there is to say."""
        self.turn()
        # Each of them, not only the first that has something to say.
        while sum(stream.serve() for stream in self.streams):
            self.turn()

    def run(self, seconds: float) -> None:
        """Let so many seconds pass, tick by tick."""
        began = self.clock.monotonic()
        for step in range(1, round(seconds / TICK) + 1):
            self.clock.advance(began + step * TICK - self.clock.monotonic())
            self.settle()

    def turn(self) -> None:
        """What the pacer's thread does once."""
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
        assert at[0] <= 1.1 * TICK, "a stream that is accepted begins in the next tick"
    assert (len(first.turns), len(second.turns)) == (5, 4)
    assert sum(wheel.pacer.figures.lateness) == 9
    # No chunk goes out before its time, and none waits for longer than a tick.
    assert wheel.pacer.figures.lateness_sum == pytest.approx(9 * TICK)
    assert first.service.model.heard == 5 * 8000


def test_chunks_of_many_streams_that_fall_due_in_one_tick_share_its_entry(wheel: Wheel) -> None:
    streams = [wheel.stream(100) for _ in range(5)]
    wheel.run(0.02)
    assert [len(stream.turns) for stream in streams] == [1] * 5
    # They were accepted in one tick or the next.
    ticks = sorted({stream.tick for stream in streams if stream.tick is not None})
    assert len(ticks) <= 2
    assert sum(wheel.pacer._due[tick].count(stream) for tick in ticks for stream in streams) == 5
    assert sorted(wheel.pacer._ticks)[: len(ticks)] == ticks
    wheel.run(0.25)
    assert [len(stream.turns) for stream in streams] == [2] * 5


def test_a_time_that_was_overtaken_is_forgotten(wheel: Wheel) -> None:
    stream = wheel.stream(1)
    wheel.run(0.5)
    assert stream.starved
    # Put down for the session's deadline, in 19.5 s. Audio comes: from now on for each chunk.
    overtaken = stream.tick
    stream.feed([QUARTER] * 200)
    wheel.pacer.attend(stream)
    wheel.settle()
    assert overtaken is not None
    assert stream.tick is not None
    assert stream.tick < overtaken
    assert stream not in wheel.pacer._due[overtaken], "nobody keeps it until then"
    stream.turns.clear()
    wheel.run(30.0)
    gaps = [after - before for before, after in zip(stream.turns, stream.turns[1:], strict=False)]
    assert gaps == pytest.approx([0.25] * 119, abs=2.1 * TICK)
    assert stream.service.pings == 1, "after 20 s in which there was nothing to hear"


def test_a_stream_that_was_looked_at_again_in_vain_is_turned_once_at_its_time(wheel: Wheel) -> None:
    stream = wheel.stream(3)
    wheel.run(0.1)
    for _ in range(3):
        wheel.pacer.attend(stream)
        wheel.run(0.01)
    stream.turns.clear()
    wheel.run(0.2)
    assert len(stream.turns) == 1


def test_what_is_left_of_a_stream_does_not_touch_another_on_the_same_descriptor(wheel: Wheel) -> None:
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
    # Its feeder is late, and its old entries come up.
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


def test_a_peer_that_takes_nothing_for_a_while_gets_the_rest_later(wheel: Wheel) -> None:
    stream = wheel.stream(0)
    wheel.run(0.01)
    size = 60_000
    stream.feed([Chunk(bytes(size), 0.01)] * 8)
    wheel.pacer.attend(stream)
    # Without the peer's turn between them: the socket fills up.
    for _ in range(20):
        wheel.clock.advance(TICK)
        wheel.turn()
    assert stream.blocked
    assert stream.wire.unsent > 0
    wheel.run(0.3)
    assert (stream.blocked, stream.wire.unsent) == (False, 0)
    assert stream.service.model.heard == 8 * size


def test_a_stream_that_ends_is_let_go(wheel: Wheel) -> None:
    stream = wheel.stream(2)
    stream.end_audio()
    wheel.run(0.6)
    assert stream.done
    assert stream.session.failure is None
    assert stream.wire.sock.fileno() == -1
    assert wheel.pacer.open_streams == 0
