"""Signals that end a command: they run its cleaning up instead of skipping it.

Python ends at a SIGTERM or SIGHUP without any `finally`: what the command started would stay behind. Only
the standard library may be used here: `ops/setup` runs it before anything is installed.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: `timeout` sends its signal to the command and then to the command's group: that is no second wish.
_SAME_SECONDS = 1.0


class Ended(SystemExit):
    """A signal asks the command to end; it passes through as `sys.exit` does.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        # As a shell reports it.
        super().__init__(128 + number)
        self.number = number


class _Signals:
    """What the handler has to remember between two calls."""

    def __init__(self) -> None:
        self.first_at: float | None = None
        self.holding = 0
        self.pending: BaseException | None = None


_state = _Signals()


def catch_signals(error: Callable[[int], BaseException] = Ended) -> None:
    """Let SIGTERM, SIGINT and SIGHUP raise an exception in the main thread from now on.

    The first raises; those within the next second are the same wish, and do nothing. A later one ends
    the process at once; its children are then ended by the watcher in `ops.lib.children`. A signal that
    the parent had ignored stays ignored: that is how `nohup` works.

    Args:
        error: Makes the exception from the signal's number.
    """

    def handle(number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if _state.first_at is None:
            _state.first_at = now
            _say(f"{signal.Signals(number).name}: ending what was started; a second one ends it by force")
            raised = error(number)
            if not _state.holding:
                raise raised
            _state.pending = raised
        elif now - _state.first_at > _SAME_SECONDS:
            os._exit(128 + number)

    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)


@contextmanager
def held() -> Iterator[None]:
    """Put the exception of a signal off until the end of the block.

    For steps that must not break off half-way, as between the start of a process and the note of it.
    """
    if threading.current_thread() is not threading.main_thread():
        # Handlers run in the main thread only.
        yield
        return
    _state.holding += 1
    try:
        yield
    finally:
        _state.holding -= 1
        if not _state.holding and _state.pending is not None:
            pending, _state.pending = _state.pending, None
            raise pending


def _say(text: str) -> None:
    # Not by `print`: the signal may have come in the middle of one, whose buffer takes no second writer.
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())
