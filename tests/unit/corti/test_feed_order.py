"""Audio is sent in order and complete, however the steps of pacer and feeder interleave."""

from collections import deque
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FakeClock, FakeRecorder
from tests.unit.corti.stage import Stage
from worker.concurrency.heartbeat import Heartbeat
from worker.concurrency.interrupt import Interrupt
from worker.corti.stream.conversation import Conversation
from worker.corti.stream.feed import NEVER, Feed, Feeder
from worker.corti.stream.gate import AdmissionGate
from worker.corti.stream.pacer import Pacer
from worker.corti.stream.streams import WebSocketStream
from worker.protocol.pace import Chunk, Pace, PcmChunks

CHUNK = 8000
#: Twelve chunks with different contents, and a shorter last one.
AUDIO = b"".join(bytes([number]) * CHUNK for number in range(12)) + bytes([12]) * 400


class Queue(deque[Chunk]):
    """A conversation's queue; just after each check whether it is empty, it lets the feeder make a step."""

    def __init__(self, seam: Callable[[], None]) -> None:
        super().__init__()
        self._seam = seam

    def __bool__(self) -> bool:
        filled = len(self) > 0
        self._seam()
        return filled


class Raced:
    """A conversation whose pacer is overtaken by the feeder at the moments that a test chooses.

    Args:
        moments: Which of the pacer's looks at the queue and calls of the source the feeder overtakes.
        waits: Which calls of the source by the pacer would have to wait for a disk.
        by_the_pacer: Whether the pacer reads the source itself.
    """

    def __init__(
        self, moments: set[int], waits: set[int] | None = None, *, by_the_pacer: bool = True
    ) -> None:
        self._moments = moments
        self._moment = -1
        self._waits = waits or set()
        self._calls = -1
        self._asked: deque[bool] = deque()
        self._attend = False
        self.stage = Stage(every=1 << 30).accepted()
        conversation = self.stage.conversation
        conversation._audio = Queue(self._seam)
        read = BytesIO(AUDIO).read
        now = self._read_now(read)
        chunks = PcmChunks(read, 32_000, 2, 0.25, size=len(AUDIO), read_now=now)
        self.feed = Feed(conversation, chunks, 4, self._attended)
        conversation.begin(
            Pace(1.0), NEVER, self._asked.append, live=False, take=self._take if by_the_pacer else None
        )

    def _read_now(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        def read_now(size: int) -> bytes:
            self._calls += 1
            if self._calls in self._waits:
                raise BlockingIOError
            return read(size)

        return read_now

    def _attended(self, _: Conversation) -> None:
        self._attend = True

    def _take(self) -> Chunk | None:
        self._seam()
        chunk = self.feed.take()
        self._seam()
        return chunk

    def _seam(self) -> None:
        if self.feed._lock.locked():
            return  # the feeder's thread would wait for this lock
        self._moment += 1
        if self._moment in self._moments:
            self.feed.fill()

    def play(self) -> list[bytes]:
        """Play the stream to its end; return what the service received."""
        self.stage.attend()
        for _ in range(200):
            if self.stage.conversation.done:
                break
            while self._asked:
                self._asked.popleft()
                self.feed.fill()
            if self._attend:
                self._attend = False
                self.stage.attend()
            self.stage.turn()
        self.feed.check()
        assert self.stage.conversation.done
        assert self.stage.conversation.session.failure is None
        return self.stage.service.model.pieces


def in_order() -> list[bytes]:
    """The chunks in the order in which they have to arrive."""
    return [AUDIO[at : at + CHUNK] for at in range(0, len(AUDIO), CHUNK)]


@pytest.mark.parametrize("moment", range(60))
def test_a_feeder_that_overtakes_the_pacer_once_leaves_the_audio_in_order(moment: int) -> None:
    assert Raced({moment}).play() == in_order()


@pytest.mark.parametrize("moment", range(60))
def test_a_feeder_that_reads_the_last_chunk_during_the_pacers_turn_does_not_lose_it(moment: int) -> None:
    assert Raced({moment}, by_the_pacer=False).play() == in_order()


@given(st.sets(st.integers(0, 80)), st.sets(st.integers(0, 20)), st.booleans())
def test_audio_stays_in_order_however_often_two_threads_meet(
    moments: set[int], waits: set[int], by_the_pacer: bool
) -> None:
    assert Raced(moments, waits, by_the_pacer=by_the_pacer).play() == in_order()


def test_a_queue_with_a_chunk_more_than_is_held_ready_is_no_fault_of_the_source() -> None:
    """This happens when the pacer puts back a chunk into a queue that the feeder has just filled."""
    raced = Raced(set())
    raced.feed.fill()
    raced.stage.conversation.feed([Chunk(bytes(CHUNK), 0.25)])
    raced.feed.fill()
    raced.feed.check()


def test_a_source_that_was_left_between_the_pacers_look_and_its_reading_is_not_read() -> None:
    raced = Raced(set())
    lock, left = raced.feed._lock, iter([True])

    class LeftFirst:
        """The job leaves the source at the last moment before the pacer has the lock."""

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            if next(left, False):
                raced.feed.stop()
            return lock.acquire(blocking, timeout)

        def locked(self) -> bool:
            return lock.locked()

        def release(self) -> None:
            lock.release()

        def __enter__(self) -> bool:
            return lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    raced.feed._lock = LeftFirst()  # type: ignore[assignment]
    assert raced.feed.take() is None


@pytest.fixture
def threads() -> Iterator[tuple[Pacer, Feeder]]:
    """A running pacer and a running feeder, neither of which drives the stage's conversation."""
    clock = FakeClock()
    with Pacer(clock, Heartbeat(clock), AdmissionGate()) as pacer, Feeder(Heartbeat(clock)) as feeder:
        yield pacer, feeder


def test_a_pacer_that_looks_while_a_job_begins_sends_the_first_chunk_first(
    threads: tuple[Pacer, Feeder], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(every=CHUNK).accepted()
    conversation = stage.conversation
    for name in "begin", "feed":
        step = getattr(conversation, name)

        def overtaken(*values: object, _step: Callable[..., None] = step, **named: object) -> None:
            stage.attend()
            _step(*values, **named)
            stage.attend()
            stage.exchange()

        monkeypatch.setattr(conversation, name, overtaken)
    read = BytesIO(AUDIO).read
    chunks = PcmChunks(read, 32_000, 2, 0.25, size=len(AUDIO), read_now=read)
    with WebSocketStream(conversation, *threads, FakeRecorder()) as stream:
        talk = stream.converse(chunks, 1.0, live=True, interrupt=Interrupt(), at_hand=True)
        next(talk)
        stage.turn()
    assert stage.service.model.pieces[:2] == in_order()[:2]
