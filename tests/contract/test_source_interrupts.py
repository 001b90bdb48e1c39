"""An interrupt ends a job's wait for a source of audio, at whatever step the job waits."""

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from tests.contract.listening import audio_sources, opened
from tests.contract.raw_host import RawHost, deaf_port, raw_host
from tests.unit.audio.reading import job_of, library_of
from tests.unit.audio.sounds import wav_file
from worker.audio.blocking import BlockingCalls
from worker.audio.file import File
from worker.audio.roots import Roots
from worker.audio.source import Sources
from worker.concurrency.interrupt import Interrupt, Interrupted, InterruptReason
from worker.contract.audio import Audio

#: A time-out longer than any test, so that only the interrupt can end a wait.
FOR_EVER = 600.0
#: The promise is one second; the rest is a margin for a busy machine.
SOON = 5.0

_HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 100000\r\n\r\n"


def silence(host: RawHost, _: socket.socket) -> None:
    host.over.wait(60)


def half_of_the_headers(host: RawHost, peer: socket.socket) -> None:
    peer.sendall(_HEADERS[:20])
    host.over.wait(60)


def headers_alone(host: RawHost, peer: socket.socket) -> None:
    peer.sendall(_HEADERS)
    host.over.wait(60)


def a_stalling_body(host: RawHost, peer: socket.socket) -> None:
    peer.sendall(_HEADERS + bytes(70_000))
    host.over.wait(60)


def a_dripping_body(host: RawHost, peer: socket.socket) -> None:
    peer.sendall(_HEADERS)
    host.drip(peer, 0.05)


def a_stalling_chunk(host: RawHost, peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\nabc")
    host.over.wait(60)


Serve = Callable[[RawHost, socket.socket], None]


@contextmanager
def interrupted(wait: Callable[[Interrupt], object], ready: Callable[[], object]) -> Iterator[None]:
    """Let a job wait, interrupt it, and assert that it soon ends with `Interrupted`."""
    interrupt, ended, outcome = Interrupt(), threading.Event(), list[BaseException]()

    def job() -> None:
        try:
            wait(interrupt)
        except BaseException as error:  # noqa: BLE001
            outcome.append(error)
        ended.set()

    threading.Thread(target=job, daemon=True).start()
    ready()
    assert not ended.wait(0.3), outcome
    interrupt.trigger(InterruptReason.DRAIN)
    began = time.monotonic()
    assert ended.wait(SOON), "the job still waits"
    assert time.monotonic() - began < SOON
    assert isinstance(outcome[0], Interrupted), outcome
    assert outcome[0].reason is InterruptReason.DRAIN
    yield


def all_of(sources: Sources, uri: str) -> Callable[[Interrupt], object]:
    def read(interrupt: Interrupt) -> None:
        with opened(sources, Audio(uri=uri), interrupt) as source:
            while source.read(5000):
                pass

    return read


@pytest.mark.parametrize(
    "serve",
    [
        silence,
        half_of_the_headers,
        headers_alone,
        a_stalling_body,
        a_dripping_body,
        a_stalling_chunk,
    ],
)
def test_a_download_is_left_wherever_it_stalls(serve: Serve) -> None:
    with (
        raw_host(serve) as host,
        audio_sources(timeout=FOR_EVER) as sources,
        interrupted(all_of(sources, host.url()), lambda: host.asked.wait(5)),
    ):
        pass


def test_a_tls_handshake_that_stalls_is_left() -> None:
    with (
        raw_host(silence) as host,
        audio_sources(timeout=FOR_EVER) as sources,
        interrupted(all_of(sources, host.url("https")), lambda: host.asked.wait(5)),
    ):
        pass


def test_a_connection_that_is_neither_made_nor_refused_is_left() -> None:
    with (
        deaf_port() as port,
        audio_sources(timeout=FOR_EVER) as sources,
        interrupted(all_of(sources, f"http://127.0.0.1:{port}/a"), lambda: None),
    ):
        pass


def test_a_look_up_of_a_name_that_hangs_is_left() -> None:
    asked, over = threading.Event(), threading.Event()

    def resolve(*_: Any) -> list[Any]:
        asked.set()
        over.wait(60)
        return []

    with (
        audio_sources(timeout=FOR_EVER, hosts=None, resolve=resolve) as sources,
        interrupted(all_of(sources, "http://ehr.example/a"), lambda: asked.wait(5)),
    ):
        over.set()


def test_an_interrupt_before_a_download_keeps_the_download_from_beginning() -> None:
    interrupt = Interrupt()
    interrupt.trigger(InterruptReason.CLAIM_LOST)
    with raw_host(silence) as host, audio_sources(timeout=FOR_EVER) as sources:
        with pytest.raises(Interrupted):
            all_of(sources, host.url())(interrupt)
        assert not host.asked.is_set()


def test_the_library_hands_an_interrupt_on_through_a_container() -> None:
    page = Path(__file__).parents[2] / "ops/sample/consultation.ogg"

    def an_ogg_that_stalls(host: RawHost, peer: socket.socket) -> None:
        data = page.read_bytes()
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data[:40_000])
        host.over.wait(60)

    def listen(interrupt: Interrupt) -> None:
        with library.open(job_of(Audio(uri=host.url())), interrupt) as audio:
            for _ in audio.chunks():
                pass

    with raw_host(an_ogg_that_stalls) as host, audio_sources(timeout=FOR_EVER) as sources:
        library = library_of(sources, max_seconds=3600)
        with interrupted(listen, lambda: host.asked.wait(5)):
            pass


class HangingRoots(Roots):
    """A network file system whose server is away: opening a file takes until the test sets `over`."""

    def __init__(self, root: Path) -> None:
        super().__init__((root,))
        self.asked, self.over = threading.Event(), threading.Event()
        self.opened: list[File] = []

    def open(self, path: str) -> File:
        self.asked.set()
        self.over.wait(60)
        self.opened.append(super().open(path))
        return self.opened[-1]


def test_a_file_system_that_hangs_is_left_and_what_it_opens_at_last_is_closed(root: Path) -> None:
    (root / "a.wav").write_bytes(b"RIFF")
    roots, calls = HangingRoots(root), BlockingCalls()
    with audio_sources(root) as others:
        sources = Sources(others._downloads, roots, calls)
        with interrupted(all_of(sources, f"file://{root}/a.wav"), lambda: roots.asked.wait(5)):
            roots.over.set()
    for _ in range(500):
        if roots.opened and roots.opened[0]._file.closed:
            break
        threading.Event().wait(0.01)
    assert roots.opened[0]._file.closed
    calls.close()


class HangingFile(File):
    """A file whose file system hangs once `hangs` is set."""

    hangs, asked, over = threading.Event(), threading.Event(), threading.Event()

    def _hang(self) -> None:
        if self.hangs.is_set():
            self.asked.set()
            self.over.wait(20)

    def read(self, size: int) -> bytes:
        self._hang()
        return super().read(size)

    def read_at(self, offset: int, size: int) -> bytes:
        self._hang()
        return super().read_at(offset, size)


class RootsOfHangingFiles(Roots):
    def open(self, path: str) -> File:
        return HangingFile(FileIO(path))


@pytest.mark.parametrize("hashed", [False, True], ids=["at will", "in order"])
def test_a_conversion_is_left_when_the_file_system_of_its_recording_hangs(
    root: Path, *, hashed: bool
) -> None:
    """The thread of the job decodes. Without the interrupt, a drain would wait for it."""
    for event in HangingFile.hangs, HangingFile.asked, HangingFile.over:
        event.clear()
    data = wav_file(bytes(4 * 96_000 * 20), rate=96_000, bits=32)
    (root / "a.wav").write_bytes(data)
    audio = Audio(uri=f"file://{root}/a.wav", sha256=sha256(data).hexdigest() if hashed else None)
    calls = BlockingCalls()
    with audio_sources(root) as others:
        library = library_of(Sources(others._downloads, RootsOfHangingFiles((root,)), calls))

        def take(interrupt: Interrupt) -> None:
            with library.open(job_of(audio), interrupt) as opened:
                chunks = opened.chunks()
                next(chunks)
                HangingFile.hangs.set()
                list(chunks)

        with interrupted(take, lambda: HangingFile.asked.wait(5)):
            pass
    HangingFile.over.set()
    calls.close()


def test_a_file_that_is_closed_during_a_read_is_closed_after_the_read() -> None:
    out, into = os.pipe()
    file = File(FileIO(out))
    got: list[bytes] = []
    reading = threading.Thread(target=lambda: got.append(file.read(10)))
    reading.start()
    while not file._reading.locked():
        threading.Event().wait(0.01)
    file.close()
    closed_meanwhile = file._file.closed
    os.write(into, b"late")
    reading.join(10)
    assert not closed_meanwhile, "another file could get the descriptor, and the read would take its bytes"
    assert file._file.closed
    assert got == [b"late"]
    os.close(into)


def test_after_an_interrupt_the_next_download_from_the_host_works(root: Path) -> None:
    with ExitStack() as stack:
        host = stack.enter_context(raw_host(a_stalling_body))
        sources = stack.enter_context(audio_sources(root, timeout=FOR_EVER))
        for _ in range(3):
            host.asked.clear()
            stack.enter_context(interrupted(all_of(sources, host.url()), lambda: host.asked.wait(5)))


def test_tls_sockets_of_other_libraries_are_not_changed() -> None:
    with audio_sources():
        assert ssl.create_default_context().sslsocket_class is ssl.SSLSocket
