"""Audio from files under the configured directory, and from the job itself."""

import base64
import ctypes
import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.contract.listening import BODY, audio_sources, blocks, failure_of, opened, read
from worker.audio.source import Sources
from worker.contract.audio import Audio
from worker.contract.errors import PermanentError


def test_inline_audio_is_the_audio(sources: Sources) -> None:
    with opened(sources, Audio(data=base64.b64encode(BODY[:5000]).decode())) as source:
        assert b"".join(blocks(source)) == BODY[:5000]
        assert (source.media_type, source.at_hand) == (None, True)


@pytest.mark.parametrize(
    "name", ["a.wav", "with space.wav", "50%.wav", "ärztin.wav", "a#b?c.wav", "sub/b.wav"]
)
def test_a_file_is_read_piece_by_piece_whatever_its_name(sources: Sources, root: Path, name: str) -> None:
    (root / "sub").mkdir()
    (root / name).write_bytes(BODY)
    uri = f"file://{quote(str(root / name))}"
    with opened(sources, Audio(uri=uri)) as source:
        pieces = list(blocks(source))
        assert source.at_hand
    assert b"".join(pieces) == BODY
    assert {len(piece) for piece in pieces[:-1]} == {5000}, "a read must give as much as was asked for"
    assert read(sources, uri.replace("file://", "file://localhost")) == BODY


@pytest.mark.parametrize(
    "path",
    ["missing.wav", "", "sub", "a.wav/b", "../secret.wav", "sub/../../secret.wav", "%2e%2e/secret.wav"],
)
def test_a_path_that_is_no_file_under_the_root_is_refused_for_good(
    sources: Sources, root: Path, path: str
) -> None:
    (root / "sub").mkdir()
    (root / "a.wav").write_bytes(b"a")
    (root.parent / "secret.wav").write_bytes(b"not yours")
    assert isinstance(failure_of(sources, f"file://{root}/{path}"), PermanentError)


@pytest.mark.parametrize(
    "uri",
    ["file:///etc/passwd", "file://elsewhere/a.wav", "file:a.wav", "file:", "file:///a%00b", "file:///"],
)
def test_a_uri_that_leads_elsewhere_is_refused_for_good(sources: Sources, uri: str) -> None:
    assert isinstance(failure_of(sources, uri), PermanentError)


def test_a_link_may_lead_to_a_file_under_the_root_but_not_out_of_it(sources: Sources, root: Path) -> None:
    (root / "a.wav").write_bytes(b"audio")
    (root.parent / "secret.wav").write_bytes(b"not yours")
    (root / "inside").symlink_to(root / "a.wav")
    (root / "outside").symlink_to(root.parent / "secret.wav")
    (root / "way-out").symlink_to(root.parent)
    assert read(sources, f"file://{root}/inside") == b"audio"
    for path in ("outside", "way-out/secret.wav"):
        assert isinstance(failure_of(sources, f"file://{root}/{path}"), PermanentError)


def test_a_link_to_itself_and_a_name_too_long_are_refused_for_good(sources: Sources, root: Path) -> None:
    (root / "loop").symlink_to(root / "loop")
    for path in ("loop", "a" * 300):
        assert isinstance(failure_of(sources, f"file://{root}/{path}"), PermanentError)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Let this thread, and no other, access files as a user who is not root (Linux only)."""
    set_user = ctypes.CDLL(None).setfsuid
    if os.geteuid() == 0:
        set_user(65534)
    try:
        yield
    finally:
        set_user(os.geteuid())


def test_a_file_without_permission_is_refused_for_good(sources: Sources, root: Path) -> None:
    (root / "a.wav").touch(mode=0o000)
    with without_privileges():
        error = failure_of(sources, f"file://{root}/a.wav")
    assert isinstance(error, PermanentError)
    assert "PermissionError" in error.detail


def test_a_directory_may_lie_behind_a_link_of_the_operator(tmp_path: Path, root: Path) -> None:
    (root / "a.wav").write_bytes(b"audio")
    (tmp_path / "mounted").symlink_to(root)
    with audio_sources(tmp_path / "mounted") as sources:
        assert read(sources, f"file://{tmp_path}/mounted/a.wav") == b"audio"


@pytest.mark.parametrize("uri", ["s3://bucket/key", "S3://bucket/key", "gs://b/k", "az://b/k", "abfss://b/k"])
def test_object_stores_are_read_only_where_the_settings_name_buckets(sources: Sources, uri: str) -> None:
    error = failure_of(sources, uri)
    assert isinstance(error, PermanentError)
    assert "set CORTI_WORKER_AUDIO_BUCKETS" in error.detail
    assert "audio-buckets" in error.detail


def can_tell(place: Path) -> bool:
    """Whether this file's file system can tell if a read would wait."""
    with place.open("rb") as file:
        try:
            return os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT) == 1
        except (OSError, AttributeError):
            return False


def test_cached_bytes_are_read_without_waiting_and_the_next_read_goes_on_from_there(
    sources: Sources, root: Path
) -> None:
    place = root / "a.wav"
    place.write_bytes(BODY)
    with opened(sources, Audio(uri=place.as_uri())) as source:
        assert (source.read_now is not None) == can_tell(place)
        if source.read_now is None:
            return  # a memory file system, or not Linux
        assert source.read(1000) == BODY[:1000]
        assert source.read_now(3000) == BODY[1000:4000]
        assert source.read_now(1) == BODY[4000:4001]
        assert source.read(2000) == BODY[4001:6001]
        assert source.read_now(500) == BODY[6001:6501]
        with pytest.raises(BlockingIOError):
            source.read_now(len(BODY))
        assert source.read_now(10) == BODY[6501:6511], "the failed read moved the position"


def test_where_the_system_cannot_tell_whether_a_read_waits_every_read_may_wait(
    sources: Sources, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    place = root / "a.wav"
    place.write_bytes(BODY)
    monkeypatch.setattr(os, "preadv", refused)
    with opened(sources, Audio(uri=place.as_uri())) as source:
        assert source.read_now is None
        assert source.read(10) == BODY[:10]


def test_pipes_and_sockets_are_refused_at_once(sources: Sources, root: Path) -> None:
    """Opening a pipe without a writer would wait for ever, and so would a drain."""
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        began = time.monotonic()
        for name in ("pipe", "socket"):
            assert isinstance(failure_of(sources, f"file://{root}/{name}"), PermanentError)
        assert "pipe" in failure_of(sources, f"file://{root}/pipe").detail
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/tty", "/proc/self/environ", "/proc/1/cmdline", "/sys/kernel"]
)
def test_devices_and_the_kernels_own_files_are_refused_under_any_root(path: str) -> None:
    with audio_sources(Path("/")) as sources:
        assert isinstance(failure_of(sources, f"file://{path}"), PermanentError)


def test_without_a_root_no_file_is_read_and_the_refusal_names_the_setting(root: Path) -> None:
    (root / "a.wav").write_bytes(b"audio")
    with audio_sources() as sources:
        error = failure_of(sources, f"file://{root}/a.wav")
    assert isinstance(error, PermanentError)
    assert "CORTI_WORKER_AUDIO_ROOT" in error.detail


def test_there_may_be_several_roots(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").write_bytes(name.encode())
    with audio_sources(tmp_path / "one", tmp_path / "two") as sources:
        found = [read(sources, f"file://{tmp_path}/{name}/a.wav") for name in ("one", "two")]
        assert found == [b"one", b"two"]
        assert isinstance(failure_of(sources, f"file://{tmp_path}/three/a.wav"), PermanentError)
