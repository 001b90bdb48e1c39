"""Sockets of downloads: a wait on one of them can be interrupted, and has a time limit.

A time-out for each read is not enough: a server that sends a byte a second never exceeds it. And an interrupt
cannot reach a thread that sleeps in a system call. So these sockets wait in short steps, also in TLS
handshakes, and check for an interrupt and for the limits between two steps.
"""

import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from worker.audio.blocking import STEP_SECONDS, BlockingCalls
from worker.audio.failures import silent, too_slow
from worker.audio.speed import Speed
from worker.clock import Clock
from worker.concurrency.interrupt import Interrupt

T = TypeVar("T")


class Wait:
    """The limits of all waits of one download. In its context they apply to the sockets of this thread.

    Args:
        interrupt: Ends the waiting.
        clock: For time.
        timeout: Seconds until the server must have answered in all; also the longest silence afterwards.
        least_speed: Seconds of audio for each second of waiting.
    """

    def __init__(self, interrupt: Interrupt, clock: Clock, timeout: float, least_speed: float) -> None:
        self.speed = Speed(least_speed)
        self._interrupt = interrupt
        self._clock = clock
        self._timeout = timeout
        self._deadline: float | None = clock.monotonic() + timeout

    def __enter__(self) -> Self:
        _current.wait = self
        return self

    def __exit__(self, *_: object) -> None:
        _current.wait = None

    def answered(self) -> None:
        """The server has begun to send the audio: from now on its speed counts."""
        self._deadline = None

    def check(self) -> None:
        """Raise if the job is interrupted, or if the server's answer is overdue."""
        self._interrupt.check()
        if self._deadline is not None and self._clock.monotonic() >= self._deadline:
            raise silent()

    @contextmanager
    def another_answer(self) -> Iterator[None]:
        """Wait for the answer to a further request: it has the same time as the first.

        The time that it takes counts for the speed. Otherwise a server could break each connection off after
        a few bytes, and never be too slow.
        """
        began = self._clock.monotonic()
        self._deadline = began + self._timeout
        try:
            yield
        finally:
            self._deadline = None
            # Whether it is too slow now, the next wait tells: an answer that has come must be closed first.
            self.speed.waited(self._clock.monotonic() - began)

    def pause(self, seconds: float) -> None:
        """Let time pass before the next request; it counts for the speed, too."""
        began = self._clock.monotonic()
        self._interrupt.wait(seconds)
        if self.speed.waited(self._clock.monotonic() - began):
            raise too_slow()

    @property
    def left(self) -> float:
        """Seconds until the server must have answered."""
        return max(0.0, (self._deadline or 0.0) - self._clock.monotonic())

    def until_done(self, step: Callable[[], T]) -> T:
        """Repeat a step, which raises TimeoutError after `STEP_SECONDS`, until it returns."""
        began = before = self._clock.monotonic()
        while True:
            self.check()
            try:
                result, done = step(), True
            except TimeoutError:
                done = False
            before = self._waited(before)
            if done:
                return result
            if before - began >= self._timeout:
                raise silent()

    def until_returned(self, calls: BlockingCalls, function: Callable[[], T]) -> T:
        """Make a call that cannot wait in steps; returns what it returns, and raises what it raises."""
        began = before = self._clock.monotonic()

        def look() -> None:
            nonlocal before
            self.check()
            before = self._waited(before)
            if before - began >= self._timeout:
                raise silent()

        self.check()
        result = calls.call(function, look)
        self._waited(before)
        return result

    def _waited(self, since: float) -> float:
        """Count the waiting since a time; returns the time now."""
        now = self._clock.monotonic()
        if self._deadline is None and self.speed.waited(now - since):
            raise too_slow()
        return now


class _Current(threading.local):
    wait: Wait | None = None


_current = _Current()


def current() -> Wait:
    """The `Wait` whose context this thread is in.

    Raises:
        RuntimeError: There is none, which is a bug of ours.
    """
    if _current.wait is None:
        raise RuntimeError("a download's connection was used outside of its waiting")
    return _current.wait


class PatientSocket(socket.socket):
    """A socket that waits in steps. Only receiving has to wait: a request fits into the send buffer."""

    def settimeout(self, _: float | None) -> None:
        """Ignore the time-out that a library sets: each call may take one step."""
        super().settimeout(STEP_SECONDS)

    def recv(self, *args: Any) -> bytes:
        """See `socket.socket.recv`."""
        return current().until_done(lambda: super(PatientSocket, self).recv(*args))

    def recv_into(self, *args: Any) -> int:
        """See `socket.socket.recv_into`."""
        return current().until_done(lambda: super(PatientSocket, self).recv_into(*args))


class PatientTlsSocket(ssl.SSLSocket):
    """The same over TLS. After a time-out, OpenSSL continues a read or a handshake where it stopped."""

    def settimeout(self, _: float | None) -> None:
        """See `PatientSocket.settimeout`."""
        super().settimeout(STEP_SECONDS)

    def do_handshake(self, block: bool = False) -> None:
        """See `ssl.SSLSocket.do_handshake`."""
        try:
            current().until_done(lambda: super(PatientTlsSocket, self).do_handshake(block))
        except BaseException:
            self.close()  # nobody else has it yet, and Python closes it only after an OSError
            raise

    def recv(self, *args: Any) -> bytes:
        """See `ssl.SSLSocket.recv`."""
        return current().until_done(lambda: super(PatientTlsSocket, self).recv(*args))

    def recv_into(self, *args: Any) -> int:
        """See `ssl.SSLSocket.recv_into`."""
        return current().until_done(lambda: super(PatientTlsSocket, self).recv_into(*args))


def connected(family: int, address: Any, wait: Wait, seconds: float) -> PatientSocket:
    """Connect to one address within `seconds`; raises OSError."""
    sock = PatientSocket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        try:
            sock.connect(address)
        except BlockingIOError:
            _until_connected(sock, wait, seconds)
        sock.settimeout(STEP_SECONDS)
    except BaseException:
        sock.close()
        raise
    return sock


def _until_connected(sock: socket.socket, wait: Wait, seconds: float) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    for _ in range(max(1, round(seconds / STEP_SECONDS))):
        wait.check()
        if poll.poll(STEP_SECONDS * 1000):
            break
    else:
        raise TimeoutError
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, "not connected")
