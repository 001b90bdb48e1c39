"""When Python's cycle collector may look at everything: a full look stops all threads.

With a thousand streams open it takes 100 ms, and Python's own rule asks for one at any moment: that
was most of the lateness above 10 ms. Nearly all objects of a job go with their last reference; what
is left to the full look are cycles in libraries, and those can wait for a quiet moment.
"""

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

from worker.clock import Clock
from worker.concurrency.background import PeriodicThread

_YOUNG, _MIDDLE, _NEVER = 5_000, 20, 1_000_000_000
#: Seconds between looks at whether it is quiet.
PERIOD = 60.0
#: After so many of these, a full look is due however busy it is.
PATIENCE = 30
#: So is one after so many lesser looks, each after 100,000 objects that have come to stay: what cycles hold
#: is bounded then by what was made, and not only by time. At 1,000 streams that is about half an hour, too.
CROWDED = 50


class Collector(AbstractContextManager["Collector"]):
    """Collects in quiet moments.

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
        # What was imported stays: no later look needs to see it again.
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
        """Collect, if it is quiet or has been put off for too long; tell whether that was so."""
        self._waited += 1
        if self._busy() and self._waited < PATIENCE and gc.get_count()[2] < CROWDED:
            return False
        self._waited = 0
        gc.collect()
        return True

    def _turn(self) -> None:
        self.turn()
