"""Calls that may block for ever, made so that the caller can leave them: look-ups of names, opening files.

Nothing ends a thread that is stuck in the kernel (a file system whose server is gone) or in the system's
resolver. So such a call is made on a thread of its own, and the caller waits for it in short steps, between
which it sees whether its job was interrupted. A thread that is left behind disposes of its result when it
comes free. The threads are daemons: a process that ends does not wait for them.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from worker.concurrency.wakeup import Wakeup

T = TypeVar("T")
_Inbox = SimpleQueue[Callable[[], None] | None]

#: How soon an interrupt is seen.
STEP_SECONDS = 0.25
#: Threads that are kept for the next calls.
_MOST_IDLE = 8


def _forget(_: object) -> None:
    pass


class _Call(Generic[T]):
    def __init__(self, function: Callable[[], T], discard: Callable[[T], None]) -> None:
        self._function = function
        self._discard = discard
        self._lock = threading.Lock()
        self._left = False
        self._result: list[T] = []
        self._error: BaseException | None = None
        self.over = Wakeup()

    def make(self) -> None:
        """On the thread of the call."""
        try:
            result = self._function()
        except BaseException as error:  # noqa: BLE001  # raised again by `result`, on the caller's thread
            self._error = error
        else:
            with self._lock:
                left = self._left
                self._result.append(result)
            if left:
                self._discard(result)
        self.over.wake()

    def leave(self) -> None:
        """Nobody waits for the result any more."""
        with self._lock:
            self._left = True
            results = list(self._result)
        for result in results:
            self._discard(result)

    def result(self) -> T:
        """What the call returned, or raised."""
        if self._error is not None:
            raise self._error
        return self._result[0]


class BlockingCalls:
    """Makes such calls, each on a thread of its own; threads that are free are used again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Inbox] = []
        self._closed = False

    def close(self) -> None:
        """Let the threads end that are free; those that are stuck end when they come free."""
        with self._lock:
            self._closed = True
            idle = list(self._idle)
            self._idle.clear()
        for inbox in idle:
            inbox.put(None)

    def call(
        self,
        function: Callable[[], T],
        check: Callable[[], None],
        discard: Callable[[T], None] = _forget,
    ) -> T:
        """Make a call; returns what it returns, and raises what it raises.

        Args:
            function: The call.
            check: Called several times a second meanwhile. What it raises ends the waiting and is raised.
            discard: Disposes of the result if the waiting ended before the call did.
        """
        call = _Call(function, discard)
        self._inbox().put(call.make)
        try:
            while not call.over.wait(STEP_SECONDS):
                check()
        except BaseException:
            call.leave()
            raise
        return call.result()

    def _inbox(self) -> _Inbox:
        """That of a thread that waits for a call."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        inbox: _Inbox = SimpleQueue()
        threading.Thread(target=self._serve, args=(inbox,), name="blocking-call", daemon=True).start()
        return inbox

    def _serve(self, inbox: _Inbox) -> None:
        while (make := inbox.get()) is not None:
            make()
            del make  # a thread that waits for its next call keeps nothing of the last one
            with self._lock:
                if self._closed or len(self._idle) >= _MOST_IDLE:
                    return
                self._idle.append(inbox)
