"""Audio goes first: a job that starts or ends asks this gate before each step, and waits while audio is late.

Threads share one core and the GIL, and each thread that computes makes the pacer wait at each of its sends. A
burst of jobs would delay all running streams for seconds, and a stream does not catch up. So after each turn
the pacer admits only as many steps as fit into the time until its next turn.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

#: Estimated seconds that a step of a job costs: its claim, a request, a handshake.
STEP_SECONDS = 0.001
#: While audio is later than this, no step is admitted. Two ticks: up to one tick is normal for the pacer.
LATE_SECONDS = 0.02
#: The longest wait, so that an overload slows jobs down and does not stop them.
PATIENCE = 5.0


class AdmissionGate:
    """Admits steps of jobs when audio leaves time for them.

    Args:
        patience: Seconds after which a step passes in any case.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._guarded = False
        self._on_wait: Callable[[], None] = lambda: None
        # Unlike a condition, `put` never blocks: the pacer must not wait for a thread that holds a lock.
        self._places: SimpleQueue[None] = SimpleQueue()
        self._waiting: deque[None] = deque()

    # -- any thread but the pacer's --------------------------------------------------------------

    def give_way(self) -> None:
        """Wait until audio leaves time for a step. Returns at once while nothing streams."""
        if not self._guarded:
            return
        try:
            self._places.get_nowait()
        except Empty:
            self._wait()

    def _wait(self) -> None:
        self._waiting.append(None)
        self._on_wait()
        with suppress(Empty):
            self._places.get(timeout=self._patience)
        self._waiting.pop()
        if not self._guarded:
            self._places.put(None)  # nothing streams any more: let the next waiting step go, too

    # -- the pacer's thread ----------------------------------------------------------------------

    def guard(self, on_wait: Callable[[], None]) -> None:
        """Have the pacer told when somebody begins to wait."""
        self._on_wait = on_wait

    @property
    def wanted(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def turned(self, streams: int, late: float, slack: float) -> None:
        """The pacer has ended a turn. Never blocks.

        Args:
            streams: How many are open.
            late: Seconds by which the turn began too late.
            slack: Seconds until the next turn.
        """
        self._guarded = streams > 0
        if late > LATE_SECONDS:
            return
        for _ in range(max(1, int(slack / STEP_SECONDS)) - self._places.qsize()):
            self._places.put(None)
