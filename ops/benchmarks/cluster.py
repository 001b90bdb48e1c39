"""A simulation of workers and a queue in steps of time: what autoscaling does to consultations.

A worker that is removed takes no more jobs. Those of its jobs that can end within the grace period do so. It
hands the others back at once, and they start again from their beginning elsewhere (worker/process/drain.py).
"""

import heapq
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from ops.benchmarks.autoscaler import Autoscaler

#: All in seconds. A step of the simulation.
STEP = 5.0
#: The interval between two decisions of the autoscaler.
LOOK = 15.0
#: The age of the metric at a decision, because Prometheus scrapes every 15 s.
STALE = 15.0
#: The time from a decision until the new worker takes jobs: scheduling, starting, connecting.
START = 20.0


@dataclass(frozen=True, order=True)
class Consultation:
    """One job.

    Attributes:
        arrived: When the job is put, in seconds since the start of the day.
        seconds: Length of its audio.
    """

    arrived: float
    seconds: float


@dataclass
class Worker:
    """A pod.

    Attributes:
        ready: When it takes its first job.
        until: When it will be killed, or None if it has not been told to stop.
        running: A heap of (end, job) for its running jobs.
    """

    ready: float
    until: float | None = None
    running: list[tuple[float, Consultation]] = field(default_factory=list)


@dataclass
class Day:
    """The result of a simulation. Times are seconds since the start of the day.

    Attributes:
        waits: Seconds that each job waited for its first start.
        cut: Number of consultations that were interrupted because their worker was removed.
        line: (time, waiting jobs, running jobs, replicas) at each decision of the autoscaler.
        changes: (time, change of the number of replicas).
        worker_seconds: Total running time of all workers, also while they drain.
    """

    waits: list[float] = field(default_factory=list)
    cut: int = 0
    line: list[tuple[float, int, int, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)
    worker_seconds: float = 0.0

    def turns(self) -> int:
        """Return how often the number of replicas turned from growing to shrinking, or back."""
        return sum(one * other < 0 for (_, one), (_, other) in pairwise(self.changes))

    def wait(self, share: float) -> float:
        """Return the quantile `share` (0..1) of the waits, in seconds."""
        return sorted(self.waits)[min(int(share * len(self.waits)), len(self.waits) - 1)]


class Cluster:
    """Simulates a day.

    Args:
        scaler: Decides on the number of replicas.
        slots: Number of jobs that a worker runs at once.
        grace: Seconds that a removed worker may continue its jobs.
        choose_idlest: Whether the worker with the fewest jobs is removed (pod deletion cost), or any.
        count_running: Whether the metric counts waiting and running jobs, or only waiting jobs.
    """

    def __init__(
        self,
        scaler: Autoscaler,
        *,
        slots: int,
        grace: float,
        choose_idlest: bool = False,
        count_running: bool = True,
    ) -> None:
        self._scaler = scaler
        self._slots = slots
        self._grace = grace
        self._choose_idlest = choose_idlest
        self._count_running = count_running
        self._chance = random.Random(1)
        self._workers = [Worker(ready=0.0) for _ in range(scaler.policy.least)]
        self._queue: deque[Consultation] = deque()
        self._started: set[int] = set()
        self._loads: deque[tuple[float, int]] = deque()
        self._day = Day()

    def run(self, consultations: Iterable[Consultation]) -> Day:
        """Simulate until the last consultation has ended."""
        coming = deque(sorted(consultations))
        now, look = 0.0, 0.0
        while coming or self._queue or any(worker.running for worker in self._workers):
            while coming and coming[0].arrived <= now:
                self._queue.append(coming.popleft())
            self._end_what_has_ended(now)
            self._start_what_waits(now)
            if now >= look:
                self._look(now)
                look += LOOK
            self._day.worker_seconds += STEP * len(self._workers)
            now += STEP
        return self._day

    def _staying(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.until is None]

    def _end_what_has_ended(self, now: float) -> None:
        for worker in self._workers:
            while worker.running and worker.running[0][0] <= now:
                heapq.heappop(worker.running)
        # A worker that drains ends with its last job.
        self._workers = [worker for worker in self._workers if worker.until is None or worker.running]

    def _start_what_waits(self, now: float) -> None:
        free = [w for w in self._staying() if w.ready <= now and len(w.running) < self._slots]
        while self._queue and free:
            worker = self._chance.choice(free)
            job = self._queue.popleft()
            heapq.heappush(worker.running, (now + job.seconds, job))
            if id(job) not in self._started:
                self._started.add(id(job))
                self._day.waits.append(now - job.arrived)
            if len(worker.running) >= self._slots:
                free.remove(worker)

    def _look(self, now: float) -> None:
        waiting = len(self._queue)
        running = sum(len(worker.running) for worker in self._workers)
        replicas = len(self._staying())
        self._day.line.append((now, waiting, running, replicas))
        self._loads.append((now, waiting + (running if self._count_running else 0)))
        while len(self._loads) > 1 and self._loads[1][0] <= now - STALE:
            self._loads.popleft()
        decided = self._scaler.decide(now, self._loads[0][1], replicas)
        if decided != replicas:
            self._day.changes.append((now, decided - replicas))
        self._workers += [Worker(ready=now + START) for _ in range(decided - replicas)]
        for _ in range(replicas - decided):
            self._take_away(now)

    def _take_away(self, now: float) -> None:
        candidates = self._staying()
        if self._choose_idlest:
            victim = min(candidates, key=lambda worker: len(worker.running))
        else:
            victim = self._chance.choice(candidates)
        victim.until = now + self._grace
        back = [job for end, job in victim.running if end > victim.until]
        victim.running = [(end, job) for end, job in victim.running if end <= victim.until]
        heapq.heapify(victim.running)
        self._day.cut += len(back)
        self._queue.extendleft(reversed(back))
