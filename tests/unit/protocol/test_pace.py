"""Pace and chunks: due times without drift, a schedule that moves after a long stop, and how audio is cut."""

import io
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.audio.reading import reader
from worker.protocol.pace import MAX_CHUNK_BYTES, Chunk, Pace, PcmChunks


def test_nothing_is_due_before_the_start() -> None:
    waiting, begun = Pace(1.0), Pace(1.0)
    begun.start(50.0)
    assert (waiting.due, begun.due, begun.position) == (math.inf, 50.0, 0.0)
    assert (waiting.started, begun.started) == (False, True)


def test_a_chunk_is_due_when_the_audio_before_it_has_been_spoken() -> None:
    pace = Pace(1.0)
    pace.start(50.0)
    due = []
    for seconds in (0.25, 1.0, 0.1):
        due.append(pace.due)
        assert pace.sent(seconds, pace.due) == 0.0
    assert [*due, pace.due] == [50.0, 50.25, 51.25, 51.35]


def test_speed_is_counted_in_times_real_time() -> None:
    pace = Pace(4.0)
    pace.start(0.0)
    pace.sent(1.0, 0.0)
    assert pace.due == 0.25
    assert pace.position == 1.0


@pytest.mark.parametrize("speed", [0.5, 8.0])
def test_two_thousand_late_chunks_leave_no_drift(speed: float) -> None:
    dice = random.Random(4)  # noqa: S311  # the same lateness at each run
    pace = Pace(speed)
    now = 1000.0
    pace.start(now)
    for number in range(2_000):
        due = 1000.0 + number * 0.25 / speed
        assert abs(pace.due - due) < 1e-6
        now = max(now, due + dice.random() * dice.choice([0.0, 0.001, 0.02, 0.9]))
        assert abs(pace.sent(0.25, now) - (now - due)) < 1e-6
    assert pace.position == 500.0


def test_lateness_within_patience_is_caught_up() -> None:
    pace = Pace(1.0)
    pace.start(0.0)
    assert pace.sent(0.25, 1.0) == 1.0
    assert pace.due == 0.25


def test_lateness_beyond_patience_moves_the_schedule() -> None:
    pace = Pace(1.0)
    pace.start(0.0)
    assert pace.sent(0.25, 1.5) == 1.5
    assert pace.due == 1.75
    assert pace.position == 0.25
    assert pace.sent(0.25, 1.75) == 0.0


def test_a_chunk_that_is_early_is_not_late() -> None:
    pace = Pace(1.0)
    pace.start(10.0)
    assert pace.sent(0.25, 9.9) == 0.0
    assert pace.due == 10.25


def cut(blocks: list[bytes], rate: int, align: int, seconds: float) -> list[Chunk]:
    """The chunks into which these blocks are cut."""
    return list(PcmChunks(reader(iter(blocks)), rate, align, seconds))


@given(
    st.lists(st.binary(max_size=90), max_size=8),
    st.sampled_from([1, 2, 4, 6, 32]),
    st.integers(8, 400),
    st.floats(0.02, 2),
)
def test_chunks_hold_all_whole_samples_in_equal_pieces(
    blocks: list[bytes], align: int, samples: int, seconds: float
) -> None:
    rate = samples * align
    whole = b"".join(blocks)
    chunks = cut(blocks, rate, align, seconds)
    assert b"".join(chunk.data for chunk in chunks) == whole[: len(whole) - len(whole) % align]
    for chunk in chunks:
        assert len(chunk.data) % align == 0
        assert 0 < len(chunk.data) <= max(align, rate * seconds)
        assert chunk.seconds == len(chunk.data) / rate
    assert len({len(chunk.data) for chunk in chunks[:-1]}) <= 1
    assert all(len(chunk.data) <= len(chunks[0].data) for chunk in chunks)


@pytest.mark.parametrize(
    ("rate", "channels", "bits", "seconds", "size"),
    [
        (16_000, 1, 16, 0.25, 8_000),
        (16_000, 2, 16, 0.25, 16_000),
        (8_000, 1, 8, 0.25, 2_000),
        (48_000, 2, 8, 2.0, 64_000),
        (48_000, 3, 8, 2.0, 63_999),
        (44_100, 2, 24, 0.25, 63_996),
        (48_000, 8, 32, 2.0, 64_000),
        (48_000, 7, 24, 2.0, 63_987),
        (11_025, 1, 16, 0.25, 5_512),
    ],
)
def test_a_chunk_never_passes_the_services_limit_nor_splits_a_sample(
    rate: int, channels: int, bits: int, seconds: float, size: int
) -> None:
    align = channels * bits // 8
    first, *_ = cut([bytes(400_000)], rate * align, align, seconds)
    assert len(first.data) == size <= MAX_CHUNK_BYTES
    assert size % align == 0


def test_blocks_smaller_than_a_sample_are_put_together() -> None:
    assert cut([b"a", b"b", b"", b"c", b"d", b"e"], 4, 2, 0.5) == [Chunk(b"ab", 0.5), Chunk(b"cd", 0.5)]


def test_no_audio_makes_no_chunks() -> None:
    assert cut([], 32_000, 2, 0.25) == cut([b"", b"x"], 32_000, 2, 0.25) == []


def test_chunks_are_cut_as_the_blocks_arrive() -> None:
    blocks = iter([bytes(8_000)] * 10)
    chunks = PcmChunks(reader(blocks), 32_000, 2, 0.25)
    assert next(chunks) == Chunk(bytes(8_000), 0.25)
    assert len(list(blocks)) == 9


def test_no_more_is_read_than_a_chunk_at_a_time() -> None:
    file = io.BytesIO(bytes(100_000))
    chunks = PcmChunks(file.read, 32_000, 2, 0.25)
    for number in range(1, 4):
        next(chunks)
        assert file.tell() == 8_000 * number


@pytest.mark.parametrize(
    ("size", "lengths"),
    [(20_000, [8_000, 8_000, 4_000]), (16_000, [8_000, 8_000]), (20_001, [8_000, 8_000, 4_000]), (0, [])],
)
def test_exactly_the_known_size_is_read(size: int, lengths: list[int]) -> None:
    file = io.BytesIO(bytes(30_000))
    chunks = PcmChunks(file.read, 32_000, 2, 0.25, size=size)
    assert [len(chunk.data) for chunk in chunks] == lengths
    assert file.tell() == size


@pytest.mark.parametrize("there", [0, 9_000, 16_000, 19_999])
def test_audio_that_ends_before_its_known_size_says_once_how_much_is_missing(there: int) -> None:
    missing: list[float] = []
    read = io.BytesIO(bytes(there)).read
    chunks = list(PcmChunks(read, 32_000, 2, 0.25, size=20_000, on_short=missing.append))
    assert sum(len(chunk.data) for chunk in chunks) == there - there % 2
    assert missing == [(20_000 - there) / 32_000]


@pytest.mark.parametrize("size", [None, 20_000])
@pytest.mark.parametrize("head", [0, 20, 8_000, 12_000, 20_000])
def test_what_was_read_already_comes_first(head: int, size: int | None) -> None:
    samples = bytes(index % 251 for index in range(20_000))
    rest = io.BytesIO(samples[head:]).read
    chunks = [chunk.data for chunk in PcmChunks(rest, 32_000, 2, 0.25, head=samples[:head], size=size)]
    assert ([len(data) for data in chunks], b"".join(chunks)) == ([8_000, 8_000, 4_000], samples)


def test_cached_chunks_are_given_at_once_and_others_after_a_read_that_may_wait() -> None:
    samples = bytes(index % 251 for index in range(20_000))
    file, cached = io.BytesIO(samples), True

    def read_now(size: int) -> bytes:
        if not cached:
            raise BlockingIOError
        return file.read(size)

    chunks = PcmChunks(file.read, 32_000, 2, 0.25, size=20_000, read_now=read_now)
    found = [chunks.ready().data]
    cached = False
    with pytest.raises(BlockingIOError):
        chunks.ready()
    found.append(next(chunks).data)
    cached = True
    # Less than a whole chunk is left, and reading the end of the audio may wait.
    with pytest.raises(BlockingIOError):
        chunks.ready()
    found.append(next(chunks).data)
    assert b"".join(found) == samples
    assert next(chunks, None) is None
    assert chunks.can_tell


def test_a_source_that_cannot_tell_whether_a_read_waits_gives_no_chunk_at_once() -> None:
    chunks = PcmChunks(io.BytesIO(bytes(20_000)).read, 32_000, 2, 0.25)
    assert not chunks.can_tell
    with pytest.raises(BlockingIOError):
        chunks.ready()
