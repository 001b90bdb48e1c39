"""Where the calls of jobs to the outside are made: a few threads, beside running audio.

A job's own thread waits for most of its life, and memory that its calls have touched once, of its stack
and of its allocator's cache, stays with it: TLS, requests and Redis leave 32 kB with each of thousands of
jobs. And a few threads are what a gate can hold up before each call.
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
        threads: How many calls at the same time.
        give_way: Waits before each call until it harms no running stream.
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
            return function()  # a call within a call: to wait for another thread could wait for ever
        return self._executor.submit(copy_context().run, self._in_turn, function).result()

    def wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        """The same function, called there."""
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
