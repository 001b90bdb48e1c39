"""Ends the children of a process that ended without ending them.

`ops.lib.children` starts a watcher for each process that has children, and writes their ids to its stdin.
The kernel closes that pipe when the process ends for any reason, also by SIGKILL. This works on every Unix.
Linux's PR_SET_PDEATHSIG is no replacement: it acts when the thread that started the child ends.

Input lines: `+ PID` for a new child, the leader of a process group; `- PID` for a child that has ended.
Import little, and only from the standard library: each command starts this program.
"""

import os
import signal
import sys
import time
from contextlib import suppress

#: Seconds between SIGTERM and SIGKILL: long enough for a server to stop, short for a user who starts again.
_GRACE = 2.0
_LOOK = 0.02


def main() -> None:
    """Keep a list of the children until the pipe closes; then end them, the last started first."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children: dict[int, str] = {}
    for line in sys.stdin:
        sign, _, pid = line.strip().partition(" ")
        if sign == "+":
            children[int(pid)] = started(int(pid))
        else:
            children.pop(int(pid), None)
    alive = [pid for pid in reversed(children) if started(pid) == children[pid]]
    # A client was started after its server. All get SIGTERM at once, in this order.
    for pid in alive:
        tell(pid, signal.SIGTERM)
        # A process stopped by SIGSTOP handles SIGTERM only after SIGCONT.
        tell(pid, signal.SIGCONT)
    deadline = time.monotonic() + _GRACE
    for pid in alive:
        while started(pid) == children[pid] and time.monotonic() < deadline:
            time.sleep(_LOOK)
        kill_group(pid)


def started(pid: int) -> str:
    """The start time of a running process, in clock ticks; it tells whether a pid was reused.

    Empty if the process does not exist or has ended; `alive` for a running process without /proc.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 -- quick
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        if os.path.isdir("/proc/self"):  # noqa: PTH112 -- quick
            return ""
        return "alive" if tell(pid, 0) else ""
    return "" if fields[0] == "Z" else fields[19]


def tell(pid: int, number: int) -> bool:
    """Send a signal; return whether that succeeded."""
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def kill_group(pid: int) -> None:
    """Send SIGKILL to a child's process group, which may have members after its leader has ended."""
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
