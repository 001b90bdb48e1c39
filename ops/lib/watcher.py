"""Ends the children of a process that died without ending them.

`ops.lib.children` starts one beside each process that has children, and names them on its standard input.
The kernel closes that pipe at the process's end, however it ends, also by SIGKILL. That works on every
Unix and from any thread; Linux's own signal at a parent's death follows the thread that started the child.

Lines of input: `+ PID` for a new child, which leads a process group; `- PID` for one that has ended.
Only the standard library may be used here, and little of it: each command starts this program.
"""

import os
import signal
import sys
import time
from contextlib import suppress

#: Enough for a server to stop in order; short, because who comes back should find nothing.
_GRACE = 2.0
_LOOK = 0.02


def main() -> None:
    """Keep the list until the pipe closes; then end what is on it, the last started first."""
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
    # What uses a server was started after it: all are told at once, but in this order.
    for pid in alive:
        tell(pid, signal.SIGTERM)
        # A frozen process hears nothing else.
        tell(pid, signal.SIGCONT)
    deadline = time.monotonic() + _GRACE
    for pid in alive:
        while started(pid) == children[pid] and time.monotonic() < deadline:
            time.sleep(_LOOK)
        kill_group(pid)


def started(pid: int) -> str:
    """When a living process started, in the kernel's ticks, so that a number used again is not mistaken.

    Empty when there is no such process, or it has ended; `alive` where there is no /proc.
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
    """Send a signal; whether there was somebody to send it to."""
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def kill_group(pid: int) -> None:
    """End at once what is left of a child's group; a leader that has ended may leave children of its own."""
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
