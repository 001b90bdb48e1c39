"""What a subject's processes cost, read from outside, so that every subject is measured in the same way."""

import os
import time
from dataclasses import dataclass
from functools import cache
from typing import Self

import psutil


@dataclass(frozen=True, slots=True)
class Reading:
    """A moment in the life of a process and its children.

    Attributes:
        at: Seconds of the monotonic clock.
        cpu: Seconds of CPU used so far, user and system.
        rss: Bytes of resident memory.
        threads: Their number.
    """

    at: float
    cpu: float
    rss: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Read a process and its children, those that have ended included."""
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
    """The core of the servers, and the one of the subject.

    Asked once: this process moves to the servers' core later, and would then see no other.
    """
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]
