"""Samples that the pacer reads itself, because the reads do not wait."""

import pytest

from tests.unit.corti.stage import Stage
from worker.corti.stream import feed
from worker.corti.stream.feed import Feed
from worker.corti.stream.frames import audio_frame
from worker.protocol.pace import Chunk, Pace, PcmChunks


class Disk:
    """Samples on a disk; with `cached`, they are in the system's cache and can be read without waiting."""

    def __init__(self, seconds: float) -> None:
        self._left = int(seconds * 32_000)
        self.cached = True
        self.waited = 0

    def chunks(self) -> PcmChunks:
        """The samples as chunks of a quarter of a second."""
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
    """A conversation whose audio the pacer reads; `asked` counts how often it had to ask the feeder."""

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
    # Less than a chunk is left: the feeder reads the end, because such a read may wait.
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


class Numbered(Disk):
    """Samples whose value is the number of their chunk."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._number = 0

    def _read(self, size: int) -> bytes:
        return self._next(super()._read(size))

    def _read_now(self, size: int) -> bytes:
        return self._next(super()._read_now(size))

    def _next(self, data: bytes) -> bytes:
        self._number += 1
        return bytes([self._number]) * len(data)


def sent_when_the_feeder_is_faster(
    monkeypatch: pytest.MonkeyPatch, at: set[int], *, cached: bool = True
) -> list[int]:
    """Numbers of chunks in the order of sending, if the feeder fills the queue after the pacer looked."""
    sent: list[int] = []

    def noted(data: bytes) -> bytes:
        sent.append(data[0])
        return audio_frame(data)

    monkeypatch.setattr("worker.corti.stream.conversation.audio_frame", noted)
    disk = Numbered(10)
    stage = Stage(every=1 << 30).accepted()
    one = Feed(stage.conversation, disk.chunks(), 4, lambda _: stage.attend())
    looks = 0

    def take() -> Chunk | None:
        nonlocal looks
        looks += 1
        if looks in at:
            one.fill()
            disk.cached = cached
        return one.take()

    stage.conversation.begin(Pace(1.0), feed.NEVER, lambda _: None, live=False, take=take)
    stage.attend()
    for _ in range(16):
        stage.turn()
        if not cached:
            one.fill()
    return sent


@pytest.mark.parametrize("at", [{1}, {2}, {3, 4}, {1, 2, 3, 4, 5}])
@pytest.mark.parametrize("cached", [True, False])
def test_audio_that_the_feeder_queued_since_the_pacer_looked_goes_first(
    monkeypatch: pytest.MonkeyPatch, at: set[int], cached: bool
) -> None:
    """The pacer sees an empty queue, the feeder fills it, then the pacer reads a later chunk."""
    sent = sent_when_the_feeder_is_faster(monkeypatch, at, cached=cached)
    assert sent == list(range(1, len(sent) + 1))
    assert len(sent) > 10


def test_a_chunk_that_the_pacer_took_goes_before_those_that_the_feeder_queued_meanwhile() -> None:
    direct = Direct(60)
    conversation = direct.stage.conversation
    later = Chunk(b"later", 0.25)
    first = Chunk(b"first", 0.25)

    def take() -> Chunk:
        conversation.feed([later])  # as the feeder does it while the pacer reads
        return first

    conversation._take = take
    conversation._audio.clear()
    conversation._starve(conversation._pace.due if conversation._pace else 0.0)
    assert list(conversation._audio) == [first, later]
