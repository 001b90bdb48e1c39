"""Child processes that end when the process that started them ends for any reason.

Code in `ops/` and `tests/` starts its processes here, except very short ones. Each child has its own process
group, so a Ctrl-C in the terminal reaches only the command, which then ends its children in order (workers
before the brokers they use). If the command is killed, `ops.lib.watcher` ends its children.

Use only the standard library here: `ops/setup` runs this before it installs anything.
"""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ops.lib.ending import held

Child = subprocess.Popen[Any]
PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL
_WATCHER = Path(__file__).with_name("watcher.py")
_COMMAND_GRACE = 10.0


class _Register:
    """The children that run, in the order of their start, and the pipe to the watcher."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.children: list[Child] = []
        self.of_parent: list[Child] = []
        self.pipe: int | None = None
        self.watcher: Child | None = None

    def add(self, child: Child) -> None:
        with self.lock:
            self.children.append(child)
            self._send_watcher(f"+ {child.pid}\n")

    def remove(self, child: Child) -> bool:
        """Remove a child; return whether it was registered."""
        with self.lock:
            if child not in self.children:
                return False
            self.children.remove(child)
            self._send_watcher(f"- {child.pid}\n")
            return True

    def open(self) -> None:
        """Start the watcher if it does not run; called before each start of a child."""
        with self.lock:
            if self.pipe is not None:
                return
            read, write = os.pipe()
            try:
                # In its own session. Without our stdout and stderr, because a reader of these pipes would
                # wait until the watcher ends.
                self.watcher = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_WATCHER)],
                    stdin=read,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                )
            finally:
                os.close(read)
            # Registered after the temporary directories of servers: `atexit` runs in reverse order, so the
            # servers end before their directories are removed.
            atexit.register(self.close)
            self.pipe = write

    def close(self) -> None:
        """End all remaining children, the last started first; then the watcher."""
        for child in reversed(list(self.children)):
            kill(child)
        with self.lock:
            if self.pipe is not None and self.watcher is not None:
                os.close(self.pipe)
                self.pipe = None
                self.watcher.wait()

    def _send_watcher(self, line: str) -> None:
        if self.pipe is not None:
            # Without a watcher, `close` still ends the children.
            with suppress(OSError):
                os.write(self.pipe, line.encode())

    def forget(self) -> None:
        """After a fork, in the child: drop the parent's children and close the pipe to its watcher."""
        self.lock = threading.RLock()
        self.of_parent, self.children = [*self.children, *self.of_parent], []
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None


_register = _Register()
os.register_at_fork(after_in_child=_register.forget)


def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: IO[Any] | int | None = subprocess.DEVNULL,
    stdout: IO[Any] | int | None = None,
    stderr: IO[Any] | int | None = None,
    text: bool = False,
) -> Child:
    """Start a child in its own session; arguments as for `subprocess.Popen`. End it with `end` or `kill`."""
    with held():
        _register.open()
        child: Child = subprocess.Popen(
            [os.fspath(part) for part in command],
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=text,
            errors="replace" if text else None,
            start_new_session=True,
        )
        _register.add(child)
    return child


def close() -> None:
    """End all children and the watcher. Call it before `os.exec...`, which runs no `atexit` function."""
    _register.close()


def end(child: Child, grace: float = 20.0) -> int:
    """End a child with SIGTERM, and with SIGKILL after `grace` seconds; then kill the rest of its group.

    Returns:
        Its exit status; negative for a signal.
    """
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(grace)
    return kill(child)


def kill(child: Child) -> int:
    """End a child and the rest of its process group with SIGKILL, as the out-of-memory killer would.

    Returns:
        Its exit status; negative for a signal.
    """
    # Only once: afterwards the kernel may give the same id to a process group of others.
    if _register.remove(child):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: IO[Any] | int | None = subprocess.DEVNULL,
    stdout: IO[Any] | int | None = None,
    stderr: IO[Any] | int | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for it, as `subprocess.run` does; an exception while waiting ends the command.

    Raises:
        subprocess.TimeoutExpired: It took longer than `timeout` seconds.
    """
    child = start(command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, text=True)
    with ended(child):
        out, errors = child.communicate(timeout=timeout)
        return subprocess.CompletedProcess(list(command), child.wait(), out, errors)


@contextmanager
def ended(child: Child, grace: float = _COMMAND_GRACE) -> Iterator[Child]:
    """End a child and close its pipes at the end of the block."""
    try:
        yield child
    finally:
        end(child, grace)
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def end_with_parent() -> None:
    """Make this process, started by `multiprocessing`, end when its parent ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=wait, name="parent", daemon=True).start()
