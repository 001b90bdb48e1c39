"""Calls that may block for ever (look-ups of names, opening files), made so that the caller can abandon them.

Nothing can end a thread that is stuck in the kernel (a file system whose server is gone) or in the system's
resolver. So each such call runs on a separate thread. The caller waits in short steps, and checks between
them whether its job was interrupted. An abandoned thread disposes of its result when its call returns. The
threads are daemons: a process that ends does not wait for them.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from worker.concurrency.wakeup import Wakeup

T = TypeVar("T")
_Inbox = SimpleQueue[Callable[[], None] | None]

#: The longest time until a waiting caller notices an interrupt.
STEP_SECONDS = 0.25
#: How many idle threads are kept for later calls.
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
        """Make the call and keep its outcome. Runs on the call's own thread."""
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
    """Makes blocking calls, each on a separate thread; idle threads are used again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Inbox] = []
        self._closed = False

    def close(self) -> None:
        """End the idle threads; a stuck thread ends when its call returns."""
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
            check: Called several times a second during the wait. An exception that it raises ends the wait
                and is raised here.
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
        """The inbox of an idle thread, or of a new one."""
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
