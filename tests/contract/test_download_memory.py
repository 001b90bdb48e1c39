"""How much memory a long recording takes: next to nothing of it, however it is read."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.listening import audio_sources, blocks, opened
from tests.contract.range_pages import Long, giving
from tests.contract.web_host import WebHost
from worker.audio.reading import Source
from worker.audio.spool import Spool
from worker.contract.audio import Audio

LENGTH = 500_000_000
MOST_GROWTH = 20_000_000

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory(name: str) -> int:
    """Bytes that the process has in memory (VmRSS), or had at most (VmHWM)."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def in_order(source: Source) -> Iterator[int]:
    yield from map(len, blocks(source, 64_000))


def at_offsets(source: Source) -> Iterator[int]:
    assert source.read_at is not None
    assert source.size is not None
    for offset in range(0, source.size, 64_000):
        yield len(source.read_at(offset, 64_000))


def from_a_copy(source: Source) -> Iterator[int]:
    with Spool(None, LENGTH).spooled(source) as copy:
        yield from at_offsets(copy)


@pytest.mark.skipif(not _CLEAR.exists(), reason="only Linux says how much memory was used at most")
@pytest.mark.parametrize("way", [in_order, at_offsets, from_a_copy])
def test_500_mb_are_never_in_memory(host: WebHost, way: Callable[[Source], Iterator[int]]) -> None:
    page = giving(Long(LENGTH), Accept_Ranges=None if way is from_a_copy else "bytes")
    with audio_sources(timeout=30.0) as sources, opened(sources, Audio(uri=host.add("/a", page))) as source:
        before = memory("VmRSS")
        _CLEAR.write_text("5")  # the peak begins anew
        size = sum(way(source))
        peak = memory("VmHWM")
    assert size == LENGTH
    assert peak - before < MOST_GROWTH
