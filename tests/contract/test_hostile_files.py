"""`file:` URIs that name something else than a recording, or a file that producers must not name."""

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require
from tests.contract.listening import BODY, audio_sources, failure_of, read
from worker.audio.roots import Roots
from worker.audio.source import Sources
from worker.contract.errors import JobError, PermanentError


def failure_in_time(sources: Sources, uri: str) -> JobError:
    """As `failure_of`, but a read that hangs fails this test and does not stall the whole run."""
    found: list[JobError] = []
    thread = threading.Thread(target=lambda: found.append(failure_of(sources, uri)), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive(), "the read hangs"
    assert found, "the file was read"
    return found[0]


def irregular(root: Path, kind: str) -> Path:
    place = root / kind
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(place))
    elif kind == "directory":
        place.mkdir()
    elif kind == "root":
        return root
    else:
        return Path(f"/dev/{kind}")
    return place


@pytest.mark.parametrize("kind", ["pipe", "socket", "directory", "root", "zero", "null", "tty"])
def test_anything_but_a_regular_file_is_refused_at_once(root: Path, kind: str) -> None:
    place = irregular(root, kind)
    require(place.exists(), f"there is no {place}")
    with audio_sources(root, Path("/dev")) as sources:
        error = failure_in_time(sources, place.as_uri())
    assert isinstance(error, PermanentError)
    assert "no regular file" in error.detail


@pytest.mark.parametrize(
    "path", ["/proc/self/environ", "/proc/self/cmdline", "/proc/1/../self/status", "/sys/kernel/notes"]
)
def test_files_of_the_kernel_are_no_recordings_wherever_files_may_lie(path: str) -> None:
    require(Path(path).exists(), f"there is no {path}")
    with audio_sources(Path("/")) as sources:
        error = failure_in_time(sources, f"file://{path}")
    assert isinstance(error, PermanentError)
    assert "of the kernel" in error.detail


def test_without_a_directory_no_file_is_read(root: Path) -> None:
    (root / "a.wav").write_bytes(BODY)
    with audio_sources() as sources:
        error = failure_of(sources, f"file://{root}/a.wav")
    assert isinstance(error, PermanentError)
    assert "CORTI_WORKER_AUDIO_ROOT" in error.detail


def test_there_may_be_several_directories_and_each_keeps_its_own_bounds(tmp_path: Path) -> None:
    for name in "one", "two", "three":
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").write_bytes(name.encode())
    (tmp_path / "one" / "to-two").symlink_to(tmp_path / "two" / "a.wav")
    (tmp_path / "one" / "to-three").symlink_to(tmp_path / "three" / "a.wav")
    with audio_sources(tmp_path / "one", tmp_path / "two") as sources:
        assert read(sources, f"file://{tmp_path}/one/a.wav") == b"one"
        assert read(sources, f"file://{tmp_path}/two/a.wav") == b"two"
        assert read(sources, f"file://{tmp_path}/one/to-two") == b"two"
        for path in "three/a.wav", "one/to-three", "a.wav":
            assert isinstance(failure_of(sources, f"file://{tmp_path}/{path}"), PermanentError)


class Swap:
    """Changes the directory tree between the check of a path and its opening."""

    def __init__(self, root: Path, what: str) -> None:
        self._root = root
        self._what = what
        (root / "sub").mkdir()
        (root / "sub" / "a.wav").write_bytes(b"audio")
        outside = root.parent / "outside"
        outside.mkdir()
        (outside / "a.wav").write_bytes(b"not yours")

    def __call__(self) -> None:
        sub, outside = self._root / "sub", self._root.parent / "outside"
        if self._what == "directory":
            sub.rename(self._root / "elsewhere")
            sub.symlink_to(outside)
        else:
            (sub / "a.wav").unlink()
            if self._what == "file":
                (sub / "a.wav").symlink_to(outside / "a.wav")
            elif self._what == "pipe":
                os.mkfifo(sub / "a.wav")


@pytest.mark.parametrize("what", ["directory", "file", "pipe", "nothing"])
def test_a_path_that_changes_after_its_check_is_not_opened(root: Path, what: str) -> None:
    roots = Roots((root,), before_opening=Swap(root, what))
    with audio_sources(root) as others:
        sources = Sources(others._downloads, roots, others._calls)
        assert isinstance(failure_in_time(sources, f"file://{root}/sub/a.wav"), PermanentError)


def test_a_pipe_that_takes_the_place_of_a_file_after_the_last_check_does_not_block(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "regular").write_bytes(b"audio")
    os.mkfifo(root / "pipe")
    look = os.stat

    def stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        if dir_fd is not None and path == "pipe":
            path = "regular"
        return look(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    with audio_sources(root) as sources:
        monkeypatch.setattr(os, "stat", stat)
        error = failure_in_time(sources, f"file://{root}/pipe")
    assert isinstance(error, PermanentError)
    assert "no regular file" in error.detail
