"""A stream as its job sees it: nothing goes on when the job leaves its stream in the middle."""

import threading
from collections.abc import Iterator

import pytest

from tests.fakes import FakeClock, FakeRecorder
from tests.unit.corti.stage import QUARTER, Stage
from worker.concurrency.heartbeat import Heartbeat
from worker.concurrency.interrupt import Interrupt, Interrupted, InterruptReason
from worker.contract.errors import Reason, TransientError
from worker.corti.stream.feed import Feeder, chunks_ahead
from worker.corti.stream.gate import AdmissionGate
from worker.corti.stream.pacer import Pacer
from worker.corti.stream.streams import WebSocketStream
from worker.protocol.messages import TranscriptMessage
from worker.protocol.pace import Chunk

AHEAD = chunks_ahead(0.25, 1.0, at_hand=True)[0]


class Opened:
    """A stream on a socket in memory, which the stage drives in place of the pacer's thread."""

    def __init__(self, feeder: Feeder, pacer: Pacer) -> None:
        self.stage = Stage(every=8000).accepted()
        self.recorder = FakeRecorder()
        self.stream = WebSocketStream(self.stage.conversation, pacer, feeder, self.recorder)
        self.read = 0

    def audio(self) -> Iterator[Chunk]:
        """More audio than a test sends; counts the chunks that are read."""
        for _ in range(1000):
            self.read += 1
            yield QUARTER

    def heard(self) -> None:
        """Send some audio and receive a transcript."""
        self.stage.turn()
        self.stage.turn()


@pytest.fixture
def opened() -> Iterator[Opened]:
    clock = FakeClock()
    with Pacer(clock, Heartbeat(clock), AdmissionGate()) as pacer, Feeder(Heartbeat(clock)) as feeder:
        yield Opened(feeder, pacer)


def test_the_audio_is_not_read_any_more_when_a_job_has_left_its_stream(opened: Opened) -> None:
    with opened.stream as stream:
        talk = stream.converse(opened.audio(), 1.0, live=True, interrupt=Interrupt(), at_hand=True)
        opened.stage.conversation.wake()
        opened.stage.conversation._messages.append(TranscriptMessage(()))
        assert next(talk) == TranscriptMessage(())
        # The feeder's thread reads, not the job's, so wait for it.
        for _ in range(500):
            if opened.read == AHEAD:
                break
            threading.Event().wait(0.01)
        assert opened.read == AHEAD
        opened.heard()
    assert stream._feed is not None
    # The conversation still exists, as it does when an exception keeps the frame of its job alive. The source
    # is about to be closed, and the feeder is told once more that audio runs low.
    before = opened.read
    stream._feed.fill()
    assert opened.read == before


@pytest.mark.parametrize("at_hand", [True, False])
def test_an_error_of_the_source_is_raised_in_the_job(opened: Opened, *, at_hand: bool) -> None:
    failure = TransientError(Reason.AUDIO_UNREACHABLE, "reading the audio file failed")

    def breaking() -> Iterator[Chunk]:
        yield QUARTER
        raise failure

    with pytest.raises(TransientError) as raised, opened.stream as stream:
        list(stream.converse(breaking(), 1.0, live=False, interrupt=Interrupt(), at_hand=at_hand))
    assert raised.value is failure
    assert opened.recorder.counts["corti_streams_ended_total", "stream_interrupted"] == 1


@pytest.mark.parametrize("at_hand", [True, False])
def test_an_interrupt_ends_the_conversation_while_it_sleeps(opened: Opened, *, at_hand: bool) -> None:
    interrupt = Interrupt()
    trigger = threading.Timer(0.02, interrupt.trigger, [InterruptReason.DRAIN])
    trigger.start()
    with pytest.raises(Interrupted), opened.stream as stream:
        list(stream.converse(opened.audio(), 1.0, live=False, interrupt=interrupt, at_hand=at_hand))
    trigger.join()
    assert opened.recorder.counts["corti_streams_ended_total", "stream_interrupted"] == 1


def test_a_stream_that_was_left_is_not_woken_any_more(opened: Opened) -> None:
    """Otherwise a job in an outage, which opens one stream after the other, would keep them all in memory."""
    interrupt = Interrupt()
    trigger = threading.Timer(0.02, interrupt.trigger, [InterruptReason.DRAIN])
    trigger.start()
    with pytest.raises(Interrupted), opened.stream as stream:
        list(stream.converse(opened.audio(), 1.0, live=False, interrupt=interrupt, at_hand=True))
    trigger.join()
    assert interrupt._wakers == []


def test_the_jobs_own_thread_does_not_read_what_is_at_hand(opened: Opened) -> None:
    """A file system could hang, and then no interrupt would reach the job."""
    readers: set[str] = set()
    interrupt = Interrupt()

    def telling() -> Iterator[Chunk]:
        yield QUARTER  # read when the audio was opened; see `PcmChunks.prefetch`
        readers.add(threading.current_thread().name)
        threading.Timer(0.01, interrupt.trigger, [InterruptReason.DRAIN]).start()
        yield QUARTER

    with pytest.raises(Interrupted), opened.stream as stream:
        list(stream.converse(telling(), 1.0, live=False, interrupt=interrupt, at_hand=True))
    assert readers == {"feeder"}
