"""Copies of audio that comes only in order: read at any offset, limited, and gone with their process."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import BytesIO, FileIO
from pathlib import Path

import pytest

from ops.lib import children
from tests.contract.listening import BODY, SECRET, audio_sources, blocks, opened
from tests.contract.range_pages import ends, giving
from tests.contract.secrecy import assert_silent
from tests.contract.test_resume_guards import silence
from tests.contract.test_source_interrupts import FOR_EVER, interrupted
from tests.contract.web_host import WebHost
from worker.audio import speed
from worker.audio.reading import Source, reader
from worker.audio.spool import Spool
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.errors import JobError, PermanentError, Reason, TransientError

ROOT = Path(__file__).parents[2]


def in_order(body: bytes = BODY, *, size: int | None = None) -> Source:
    """A source without random access."""
    return Source(BytesIO(body).read, "audio/mp4", at_hand=False, size=size)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The directory of the copies."""
    made = tmp_path / SECRET
    made.mkdir()
    return made


@pytest.fixture
def spool(place: Path) -> Spool:
    """A spool that BODY fits into three times."""
    return Spool(place, 3 * len(BODY))


def failure_of(spool: Spool, source: Source) -> JobError:
    """Fail to copy, keep nothing, and give out nothing on the way."""
    used = spool.used
    with pytest.raises(JobError) as failure, spool.spooled(source):
        pass
    assert spool.used == used
    assert failure.value.reason in {Reason.AUDIO_UNREACHABLE, Reason.AUDIO_TOO_LARGE}
    assert_silent(failure.value, SECRET)
    return failure.value


def test_a_copy_is_read_in_order_and_at_any_offset(spool: Spool) -> None:
    with spool.spooled(in_order()) as copy:
        assert copy.read_at is not None
        assert copy.read(1000) == BODY[:1000]
        assert copy.read_at(200_000, 100) == BODY[200_000:200_100]
        assert copy.read_at(len(BODY) - 3, 100) == BODY[-3:]
        assert copy.read_at(len(BODY), 100) == b""
        assert b"".join(blocks(copy)) == BODY[1000:]
        assert (copy.size, copy.media_type, copy.at_hand, copy.heard) == (len(BODY), "audio/mp4", True, None)
        if copy.read_now is not None:
            with pytest.raises(BlockingIOError):
                copy.read_now(1)


def test_what_was_read_before_is_in_the_copy_too(spool: Spool) -> None:
    source = in_order(size=len(BODY))
    head = source.read(1000)
    with spool.spooled(source, head) as copy:
        assert copy.read_at is not None
        assert (copy.size, copy.read_at(0, 1 << 20)) == (len(BODY), BODY)
        assert spool.used == len(BODY)
        assert b"".join(blocks(copy)) == BODY[1000:]


def test_what_can_be_read_at_any_offset_is_not_copied(spool: Spool) -> None:
    source = Source(BytesIO(BODY).read, None, at_hand=True, read_at=lambda offset, size: BODY[offset:][:size])
    with spool.spooled(source) as same:
        assert same is source
        assert spool.used == 0


def test_a_download_without_ranges_is_copied(host: WebHost, spool: Spool) -> None:
    for headers in (
        {"Accept_Ranges": None},
        {"Accept_Ranges": None, "Content_Length": None, "Connection": "close"},
    ):
        url = host.add("/a", giving(BODY, **headers))
        with audio_sources() as sources, opened(sources, Audio(uri=url)) as source:
            assert source.read_at is None
            with spool.spooled(source) as copy:
                assert copy.read_at is not None
                assert copy.read_at(0, len(BODY)) == BODY
        assert spool.used == 0


def test_a_download_that_fails_leaves_the_place_to_others(host: WebHost, spool: Spool) -> None:
    url = host.add(f"/{SECRET}", giving(BODY, breaks=ends, after=100_000, ETag=None, Last_Modified=None))
    with audio_sources() as sources, opened(sources, Audio(uri=url)) as source:
        assert isinstance(failure_of(spool, source), TransientError)
    assert spool.used == 0


def test_the_place_is_limited_for_all_copies_together_and_given_back(spool: Spool) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(spool.spooled(in_order()))
        assert spool.used == 3 * len(BODY)
        error = failure_of(spool, in_order(b"a"))
        assert isinstance(error, TransientError)
        assert "CORTI_WORKER_SPOOL_BYTES" in error.detail
    assert spool.used == 0
    with spool.spooled(in_order()) as copy:
        assert copy.size == len(BODY)


def never(_: int) -> bytes:
    raise AssertionError("nothing is to be read")


def test_what_will_not_fit_is_not_downloaded_first(spool: Spool) -> None:
    with spool.spooled(in_order()):
        error = failure_of(spool, Source(never, None, at_hand=False, size=3 * len(BODY)))
    assert isinstance(error, TransientError)
    error = failure_of(spool, Source(never, None, at_hand=False, size=3 * len(BODY) + 1))
    assert isinstance(error, PermanentError)


def test_what_never_fits_is_refused_for_good(spool: Spool) -> None:
    error = failure_of(spool, in_order(4 * BODY))
    assert isinstance(error, PermanentError)
    assert "CORTI_WORKER_SPOOL_BYTES" in error.detail
    with spool.spooled(in_order(3 * BODY)) as copy:
        assert copy.size == 3 * len(BODY)


linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc and /dev/full")


def full_disk() -> FileIO:
    """A file whose disk has no room, as the kernel sees it."""
    return FileIO("/dev/full", "r+")


def no_disk() -> FileIO:
    raise PermissionError(13, SECRET)


@linux
@pytest.mark.parametrize(("create", "text"), [(full_disk, "is full: make room"), (no_disk, "may write to")])
def test_a_disk_that_takes_nothing_is_told(create: Callable[[], FileIO], text: str) -> None:
    error = failure_of(Spool(None, 1 << 30, create), in_order())
    assert isinstance(error, TransientError)
    assert text in error.detail
    assert "CORTI_WORKER_SPOOL_DIR" in error.detail


def test_a_directory_that_is_gone_is_told(place: Path, spool: Spool) -> None:
    place.rmdir()
    error = failure_of(spool, in_order())
    assert isinstance(error, TransientError)
    assert "CORTI_WORKER_SPOOL_DIR" in error.detail


def held(place: Path, process: int) -> list[Path]:
    """The open files of a process that lie, or lay, in a directory."""
    found = []
    for name in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(place) in str(name.readlink()):
                found.append(name)
    return found


@linux
def test_a_copy_has_no_name_and_is_for_nobody_else(place: Path, spool: Spool) -> None:
    with spool.spooled(in_order()):
        assert list(place.iterdir()) == []
        (file,) = held(place, os.getpid())
        assert file.stat().st_mode & 0o077 == 0
    assert held(place, os.getpid()) == []


@linux
def test_a_process_that_is_killed_leaves_nothing(place: Path) -> None:
    command = [sys.executable, "-m", "tests.contract.spooling_process", str(place)]
    process = children.start(command, cwd=ROOT, stdout=children.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"10000000\n"
        assert len(held(place, process.pid)) == 1
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    assert list(place.iterdir()) == []


def test_an_interrupt_ends_the_copying(host: WebHost, spool: Spool) -> None:
    url = host.add("/a", giving(BODY, breaks=silence, after=100_000, Accept_Ranges=None))

    def copy(interrupt: Interrupt) -> None:
        with opened(sources, Audio(uri=url), interrupt) as source, spool.spooled(source):
            pass

    def copied() -> None:
        while spool.used < 100_000:
            threading.Event().wait(0.01)

    with audio_sources(timeout=FOR_EVER, least_speed=0.0) as sources, interrupted(copy, copied):
        pass
    assert spool.used == 0


def test_what_is_copied_counts_as_audio_for_the_speed(spool: Spool) -> None:
    heard: list[float] = []
    source = Source(reader(iter([bytes(16_000)] * 4)), None, at_hand=False, heard=heard.append)
    with spool.spooled(source):
        pass
    assert sum(heard) == 2.0


def test_a_server_that_drips_is_left_while_it_is_copied(
    host: WebHost, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "WINDOW", 1.0)
    monkeypatch.setattr(speed, "_GRAIN", 0.05)
    url = host.add(f"/{SECRET}", giving(BODY, breaks=silence, after=100, Accept_Ranges=None))
    with audio_sources(timeout=FOR_EVER) as sources, opened(sources, Audio(uri=url)) as source:
        assert "CORTI_WORKER_DOWNLOAD_MIN_SPEED" in failure_of(spool, source).detail
