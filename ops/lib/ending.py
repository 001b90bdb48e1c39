"""Turn signals that end a command into an exception, so that its cleanup runs.

By default, Python ends at a SIGTERM or SIGHUP without running any `finally`, and the processes that the
command started stay. Use only the standard library here: `ops/setup` runs this before it installs anything.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Signals within this many seconds count as one: `timeout` signals the command and then its process group.
_SAME_SECONDS = 1.0


class Ended(SystemExit):
    """A signal has asked the command to end; like `sys.exit`, it ends the process unless it is caught.

    Attributes:
        number: The signal's number; the exit status is 128 + `number`.
    """

    def __init__(self, number: int) -> None:
        # The exit status that a shell reports for a signal.
        super().__init__(128 + number)
        self.number = number


class _Signals:
    """The state of the signal handler."""

    def __init__(self) -> None:
        self.first_at: float | None = None
        self.holding = 0
        self.pending: BaseException | None = None


_state = _Signals()


def catch_signals(error: Callable[[int], BaseException] = Ended) -> None:
    """From now on SIGTERM, SIGINT and SIGHUP raise an exception in the main thread.

    Only the first signal raises; signals within the next second are ignored. A later signal ends the process
    at once, and `ops.lib.watcher` then ends its children. A signal that the parent process ignores stays
    ignored, as `nohup` requires.

    Args:
        error: Makes the exception from the signal's number.
    """

    def handle(number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if _state.first_at is None:
            _state.first_at = now
            _say(f"{signal.Signals(number).name}: ending all child processes; a second signal kills them")
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
    """Delay the exception of a signal until the end of the block.

    For steps that must not be interrupted, such as starting a process and registering it.
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
    # Not `print`: the signal may have interrupted a `print`, whose buffer does not allow a second writer.
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())
