"""Linters, type checks and tests, as CI runs them; the shell script `ops/test` starts this module."""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ops.lib import children, debian, ending
from ops.lib.environment import ROOT, become

_PARTS = ("unit", "contract", "sandbox", "system", "ops", "chart")
_LINTERS = (("ruff", "check", "--quiet", "."), ("ruff", "format", "--check", "--quiet", "."), ("mypy",))
#: Most tests wait for audio in real time, so three pytest processes run in parallel, each with its own
#: brokers. Unit tests take less time than the start of the processes.
_SIDE_BY_SIDE = ("-n", "3", "--dist", "worksteal")
#: Seconds for pytest to end its servers after a SIGTERM, before it is killed.
_PYTEST_GRACE = 60.0
_FAILED = 1
#: Directory of the tools in the current environment.
_BIN = Path(sys.executable).parent


def main(arguments: Sequence[str]) -> int:
    """Run one part or `all`, with further arguments for pytest; return the exit status."""
    part, *rest = arguments
    if part == "soak":
        _need("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
        become(ROOT, "ops.soak", *rest)
    failed = [command for command in _LINTERS if part in {"all", "lint"} and not _passes(command)]
    names = "; ".join(" ".join(command) for command in failed)
    if part == "lint":
        _say(f"failed: {names}" if failed else "linters: no findings")
        return _FAILED if failed else 0
    status = _test(part, rest)
    if failed:
        _say(f"failed besides pytest: {names}")
    return status or (_FAILED if failed else 0)


def _passes(command: Sequence[str]) -> bool:
    _say(" ".join(command))
    began = time.monotonic()
    done = children.run([_BIN / command[0], *command[1:]], cwd=ROOT)
    _say(f"{' '.join(command)}: {'passed' if done.returncode == 0 else 'FAILED'}, {_since(began)}")
    return done.returncode == 0


def _test(part: str, rest: Sequence[str]) -> int:
    parts = _PARTS if part == "all" else (part,)
    for name in parts:
        if not any((ROOT / "tests" / name).rglob("test_*.py")):
            _say(f"tests/{name} contains no test_*.py: a part of the suite is missing")
            return _FAILED
    where = ["tests", "--ignore=tests/image"] if part == "all" else [f"tests/{part}"]
    if part not in {"unit", "chart"}:
        _need("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
    if part in {"all", "contract", "system"}:
        _need("ffmpeg", "ffmpeg")
    if part in {"all", "system", "ops", "chart"}:
        _need("promtool", "prometheus")
    options = _SIDE_BY_SIDE if part in {"all", "system"} else ()
    _say(f"pytest {' '.join([*where, *rest])}")
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "--durations=10", *options, *where, *rest]
    # With our stdin, so that a debugger can be used.
    with children.ended(children.start(command, cwd=ROOT, stdin=None), _PYTEST_GRACE) as pytest:
        status = pytest.wait()
    _say(f"pytest ended with status {status}, {_since(began)}")
    return status


def _need(program: str, package: str) -> None:
    """Install a missing program if this process may.

    Tests that need a missing program are skipped on a laptop, and fail in CI with the reason.
    """
    if shutil.which(program) is not None or not debian.may_install():
        return
    _say(f"installing {package} from Debian's packages ...")
    try:
        debian.install(package)
    except debian.InstallError as error:
        _say(f"{package} could not be installed; its tests are skipped, or fail in CI. {error}")


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


def _say(text: str) -> None:
    print(f"[test] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    ending.catch_signals()
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
