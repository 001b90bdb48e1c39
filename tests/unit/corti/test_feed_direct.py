"""Samples that the pacer reads itself, because that takes no waiting."""

from tests.unit.corti.stage import Stage
from worker.audio.pace import Pace, PcmChunks
from worker.corti.stream import feed
from worker.corti.stream.feed import Feed


class Disk:
    """Samples that are in the system's cache, or are not."""

    def __init__(self, seconds: float) -> None:
        self._left = int(seconds * 32_000)
        self.cached = True
        self.waited = 0

    def chunks(self) -> PcmChunks:
        """Its chunks, of a quarter of a second."""
        return PcmChunks(self._read, 32_000, 2, 0.25, size=self._left, read_now=self._read_now)

    def _read(self, size: int) -> bytes:
        self.waited += 1
        taken = min(size, self._left)
        self._left -= taken
        return bytes(taken)

    def _read_now(self, size: int) -> bytes:
        if not self.cached:
            raise BlockingIOError
        self._left -= size
        return bytes(size)


class Direct:
    """A conversation whose audio the pacer reads, and a feeder's thread that is there when it cannot."""

    def __init__(self, seconds: float) -> None:
        self.disk = Disk(seconds)
        self.stage = Stage(every=1 << 30).accepted()
        self.asked = 0
        self.feed = Feed(self.stage.conversation, self.disk.chunks(), 4, lambda _: self.stage.attend())
        self.stage.conversation.begin(Pace(1.0), feed.NEVER, self._on_low, live=False, take=self.feed.take)
        self.stage.attend()

    def _on_low(self, dry: bool) -> None:
        assert dry
        self.asked += 1


def test_the_pacer_reads_what_takes_no_waiting_and_holds_nothing_ready() -> None:
    direct = Direct(2.1)
    for _ in range(7):
        direct.stage.turn()
        assert direct.stage.conversation.queued == 0
    assert len(direct.stage.sent_at) == 8
    assert (direct.disk.waited, direct.asked) == (0, 0)
    assert direct.feed.by_the_pacer
    # What is left is less than a chunk: whoever may wait reads the end of it.
    direct.stage.turn()
    assert direct.asked == 1
    direct.feed.fill()
    assert len(direct.stage.sent_at) == 9
    while direct.stage.turn():
        pass
    assert direct.stage.service.model.heard == int(2.1 * 32_000)
    assert direct.stage.conversation.session.failure is None


def test_a_disk_that_must_be_waited_for_is_read_by_the_feeder_and_then_by_the_pacer_again() -> None:
    direct = Direct(60)
    direct.stage.turn()
    direct.disk.cached = False
    direct.stage.turn()
    conversation = direct.stage.conversation
    assert (conversation.starved, direct.asked, len(direct.stage.sent_at)) == (True, 1, 2)
    direct.feed.fill()
    assert (conversation.starved, direct.disk.waited, len(direct.stage.sent_at)) == (False, 4, 3)
    direct.disk.cached = True
    for _ in range(10):
        direct.stage.turn()
    assert (direct.disk.waited, direct.asked) == (4, 1)
    assert direct.stage.service.model.heard == len(direct.stage.sent_at) * 8000


def test_the_pacer_takes_nothing_from_a_source_that_the_feeder_reads_or_the_job_has_left() -> None:
    direct = Direct(60)
    with direct.feed._lock:
        assert direct.feed.take() is None
    assert direct.feed.take() is not None
    direct.feed.stop()
    assert direct.feed.take() is None


def test_a_deadline_that_passes_while_audio_is_due_costs_no_wait_for_the_feeder() -> None:
    direct = Direct(60)
    while direct.stage.service.pings == 0:
        direct.stage.turn()
    assert direct.asked == 0
    assert not direct.stage.conversation.starved
