"""A few threads that make the calls of all jobs to the outside, while audio runs.

A job's own thread waits for most of its life, but it keeps the memory that its calls have used once (stack
and allocator's cache): TLS, requests and Redis would leave 32 kB with each of thousands of jobs. Also, a gate
can hold up a few threads before each of their calls.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OffloadExecutor(AbstractContextManager["OffloadExecutor"]):
    """Makes calls for jobs.

    Args:
        name: Of its threads.
        threads: How many calls are made at the same time.
        give_way: Called before each call; waits until the call delays no running stream.
    """

    def __init__(self, name: str, threads: int, give_way: Callable[[], None]) -> None:
        self._give_way = give_way
        self._here = threading.local()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._executor = ThreadPoolExecutor(threads, name, self._arrive)

    def __exit__(self, *_: object) -> None:
        self._closed = True
        # Calls have time-outs of their own, and a process that drains cannot wait for them.
        self._executor.shutdown(wait=False, cancel_futures=True)

    def call(self, function: Callable[[], T]) -> T:
        """Make a call; returns what it returns, and raises what it raises."""
        if getattr(self._here, "mine", False):
            return function()  # a call within a call: waiting for another of these threads could never end
        return self._executor.submit(copy_context().run, self._in_turn, function).result()

    def wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        """The same function, but called on one of these threads."""
        return lambda *values, **named: self.call(partial(function, *values, **named))

    def check(self) -> str | None:
        """For `/livez`: whether a thread is gone. Its calls have time-outs, so none can be stuck for good."""
        if self._closed or all(thread.is_alive() for thread in tuple(self._threads)):
            return None
        return "one of its threads has ended"

    def _arrive(self) -> None:
        self._threads.append(threading.current_thread())
        self._here.mine = True

    def _in_turn(self, function: Callable[[], T]) -> T:
        self._give_way()
        return function()
