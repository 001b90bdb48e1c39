"""Decides when Python's garbage collector may run a full collection, which stops all threads.

With a thousand streams open, one takes 100 ms, and by its own rule Python starts one at any moment: that
caused most of the lateness above 10 ms. Nearly all objects of a job are freed with their last reference. Only
reference cycles in libraries need a full collection, and they can wait for a quiet moment.
"""

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

from worker.clock import Clock
from worker.concurrency.background import PeriodicThread

_YOUNG, _MIDDLE, _NEVER = 5_000, 20, 1_000_000_000
#: Seconds between two checks of whether it is quiet.
PERIOD = 60.0
#: After so many checks, a full collection is due even if the worker is busy.
PATIENCE = 30
#: A full collection is also due after so many collections of the middle generation. Each of these comes after
#: 100,000 new objects that were not freed. So the number of objects bounds the memory that cycles hold, and
#: not only time does. At 1,000 streams that is about half an hour, too.
CROWDED = 50


class Collector(AbstractContextManager["Collector"]):
    """Runs full garbage collections in quiet moments.

    Args:
        busy: Whether a pause would harm anybody now.
        clock: For time.
    """

    def __init__(self, busy: Callable[[], bool], clock: Clock) -> None:
        self._busy = busy
        self._waited = 0
        self._before = gc.get_threshold()
        self._thread = PeriodicThread("collector", self._turn, PERIOD, clock, at_once=False)
        self.heartbeat = self._thread.heartbeat

    def __enter__(self) -> Self:
        # Imported objects stay for good: later collections need not examine them again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()
        gc.set_threshold(*self._before)
        gc.unfreeze()

    def turn(self) -> bool:
        """Run a full collection if it is quiet or one is overdue; returns whether it ran."""
        self._waited += 1
        if self._busy() and self._waited < PATIENCE and gc.get_count()[2] < CROWDED:
            return False
        self._waited = 0
        gc.collect()
        return True

    def _turn(self) -> None:
        self.turn()
