"""Measures the cost of a subject's processes from outside, and so of every subject in the same way."""

import os
import time
from dataclasses import dataclass
from functools import cache
from typing import Self

import psutil


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process and its children had used at a moment.

    Attributes:
        at: The moment, in seconds of the monotonic clock.
        cpu: Seconds of CPU used so far, user and system.
        rss: Bytes of resident memory.
        threads: Number of threads.
    """

    at: float
    cpu: float
    rss: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Read a process and its children; `cpu` includes children that have ended."""
        cpu, rss, threads = 0.0, 0, 0
        process = psutil.Process(pid)
        ended = process.cpu_times()
        cpu += ended.children_user + ended.children_system
        for member in (process, *process.children(recursive=True)):
            try:
                with member.oneshot():
                    times = member.cpu_times()
                    cpu += times.user + times.system
                    rss += member.memory_info().rss
                    threads += member.num_threads()
            except psutil.NoSuchProcess:
                continue
        return cls(time.monotonic(), cpu, rss, threads)


@cache
def cores() -> tuple[int, int]:
    """Return the number of the servers' core and of the subject's core.

    The result is cached: this process later pins itself to the servers' core, and would then see only that.
    """
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]
