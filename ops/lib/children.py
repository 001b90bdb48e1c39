"""Child processes that end with the process that started them, whatever ends it.

Everything under `ops/` and `tests/` that runs longer than a moment is started here. A child leads a process
group of its own: a Ctrl-C in the terminal reaches the command alone, which then ends its children in order
(workers before the brokers they use). A child of a killed process is ended by `ops.lib.watcher`.

Only the standard library may be used here: `ops/setup` runs it before anything is installed.
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
    """The living children, in the order of their start, and the pipe to the watcher."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.children: list[Child] = []
        self.of_parent: list[Child] = []
        self.pipe: int | None = None
        self.watcher: Child | None = None

    def add(self, child: Child) -> None:
        with self.lock:
            self.children.append(child)
            self._tell(f"+ {child.pid}\n")

    def remove(self, child: Child) -> bool:
        """Take a child off; whether it was there."""
        with self.lock:
            if child not in self.children:
                return False
            self.children.remove(child)
            self._tell(f"- {child.pid}\n")
            return True

    def open(self) -> None:
        """Start the watcher, before the first child."""
        with self.lock:
            if self.pipe is not None:
                return
            read, write = os.pipe()
            try:
                # In a session of its own, and without our output: whoever reads that waits for its end.
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
            # After the directories of our servers were registered, so that servers end before they go.
            atexit.register(self.close)
            self.pipe = write

    def close(self) -> None:
        """At the interpreter's end: end what was not ended, the last started first; then the watcher."""
        for child in reversed(list(self.children)):
            kill(child)
        with self.lock:
            if self.pipe is not None and self.watcher is not None:
                os.close(self.pipe)
                self.pipe = None
                self.watcher.wait()

    def _tell(self, line: str) -> None:
        if self.pipe is not None:
            # Without a watcher the children are still ended by us.
            with suppress(OSError):
                os.write(self.pipe, line.encode())

    def forget(self) -> None:
        """In a forked process: children and watcher are its parent's, whose pipe it must not hold open."""
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
    """Start a child; arguments as for `subprocess.Popen`. End it with `end` or `kill`."""
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
    """End all children and the watcher; `os.exec...` needs it, because nothing at the exit runs then."""
    _register.close()


def end(child: Child, grace: float = 20.0) -> int:
    """End a child with SIGTERM, and with SIGKILL when it is not gone after `grace` seconds.

    Returns:
        Its exit status; negative for a signal.
    """
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(grace)
    return kill(child)


def kill(child: Child) -> int:
    """End a child and what is left of its group at once, as a crash or the out-of-memory killer would.

    Returns:
        Its exit status.
    """
    # Once: afterwards the number may be that of a stranger's group.
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
    """Run a command to its end, as `subprocess.run` does; whatever breaks the waiting off ends the command.

    Raises:
        subprocess.TimeoutExpired: It took longer than `timeout` seconds.
    """
    child = start(command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, text=True)
    with ended(child):
        out, errors = child.communicate(timeout=timeout)
        return subprocess.CompletedProcess(list(command), child.wait(), out, errors)


@contextmanager
def ended(child: Child, grace: float = _COMMAND_GRACE) -> Iterator[Child]:
    """End a child at the end of the block; its pipes are closed."""
    try:
        yield child
    finally:
        end(child, grace)
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def end_with_parent() -> None:
    """Called in a process that `multiprocessing` made: end it when its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=wait, name="parent", daemon=True).start()
