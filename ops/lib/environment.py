"""Makes and updates the repository's .venv from pins with hashes; `ops/setup` runs it.

Use only the standard library here: this runs before anything is installed.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
# `python -I FILE` does not put the repository on the module path.
sys.path.insert(0, str(ROOT))

from ops.lib import children, ending  # noqa: E402

# The package set of each name includes the sets of the names before it.
NAMES = ("demo", "dev")
STAMP = "corti-setup.json"
_PIP_SETTINGS_THAT_MISLEAD = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PYTHONPATH", "PYTHONHOME")


class SetupError(RuntimeError):
    """The environment could not be made; the message says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring .venv up to date and return the exit code."""
    parser = argparse.ArgumentParser(prog="ops/setup", description="Make .venv from the pinned packages.")
    parser.add_argument("name", choices=NAMES, help="demo: worker, sandbox, demo; dev: also the test tools")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if .venv is out of date")
    explained = "then run `python -m MODULE` with the remaining arguments in .venv"
    parser.add_argument("--run", nargs=argparse.REMAINDER, default=[], metavar="MODULE", help=explained)
    options = parser.parse_args(arguments)
    if options.check:
        return 0 if is_current(ROOT, options.name) else 1
    ending.catch_signals()
    try:
        if not is_current(ROOT, options.name):
            with locked(ROOT):
                # Another process may have updated .venv before this one got the lock.
                if not is_current(ROOT, options.name):
                    build(ROOT, options.name)
    except SetupError as error:
        say(f"failed: {error}")
        return 1
    if options.run:
        become(ROOT, *options.run)
    return 0


def become(root: Path, module: str, *arguments: str) -> NoReturn:
    """Replace this process by `python -m module` in .venv; the process id stays, so signals reach it."""
    children.close()
    python = str(root / ".venv/bin/python")
    environment = os.environ | {"PYTHONPATH": str(root)}
    os.execve(python, [python, "-m", module, *arguments], environment)  # noqa: S606 -- replacing the process is intended


def is_current(root: Path, name: str) -> bool:
    """Tell whether .venv was made in this checkout from the current pins and includes the set `name`."""
    stamp = read_stamp(root)
    made = stamp.get("name")
    return (
        made in NAMES
        and NAMES.index(made) >= NAMES.index(name)
        and stamp.get("root") == str(root)
        and stamp.get("digest") == digest(root, made)
        and os.access(root / ".venv/bin/python", os.X_OK)
    )


def digest(root: Path, name: str) -> str:
    """SHA-256 of everything that determines the contents of an environment with this name."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    parts = [
        # Only these tables: a change of a linter setting needs no new installation.
        json.dumps([project["project"], project["build-system"]], sort_keys=True),
        *(file.read_text() for file in pin_files(root, name)),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def pin_files(root: Path, name: str) -> list[Path]:
    """The pin files that are installed for this name."""
    return [root / f"ops/pins/{name}.txt", root / "ops/pins/build.txt"]


def read_stamp(root: Path) -> dict[str, str]:
    """The stamp that the last complete run wrote into .venv; empty if there is none."""
    try:
        stamp = json.loads((root / ".venv" / STAMP).read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def build(root: Path, name: str) -> None:
    """Make or update .venv.

    Raises:
        SetupError: A step failed.
    """
    began = time.monotonic()
    venv = root / ".venv"
    # Scripts in bin/ contain the absolute path of the checkout in which they were made.
    moved = read_stamp(root).get("root", str(root)) != str(root)
    (venv / STAMP).unlink(missing_ok=True)
    if moved or not is_usable(venv):
        say(f"making .venv with Python {sys.version.split()[0]} ...")
        make_venv(venv)
    if not has_module(venv / "bin/python", "pip"):
        # Another tool made this environment; it is updated, not replaced.
        run([str(venv / "bin/python"), "-m", "ensurepip"], f"no pip could be put into {venv}: remove it")
    packages, tools = pin_files(root, name)
    count = sum(line[:1].isalnum() for line in packages.read_text().splitlines())
    say(f"installing the {name} packages ({count} pinned; 10 to 30 s the first time) ...")
    # First the build tools, in a separate run: they include the pinned pip, which then installs the rest.
    install_pinned(venv, tools)
    install_pinned(venv, packages)
    pip(venv, "install", "--no-index", "--no-deps", "--no-build-isolation", "--editable", str(root))
    warm(venv, root)
    stamp = {"name": name, "root": str(root), "digest": digest(root, name)}
    (venv / STAMP).write_text(json.dumps(stamp))
    say(f"ready in {time.monotonic() - began:.1f} s")


def is_usable(venv: Path) -> bool:
    """Tell whether .venv has a Python that runs and has a supported version (3.11 to 3.13)."""
    return succeeds(
        venv / "bin/python", "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"
    )


def has_module(python: str | Path, module: str) -> bool:
    """Tell whether this Python can import a module."""
    return succeeds(python, f"import {module}")


def succeeds(python: str | Path, program: str) -> bool:
    """Tell whether this Python exists and runs `program` with exit code 0."""
    try:
        return subprocess.run([python, "-I", "-c", program], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_venv(venv: Path) -> None:
    """Replace `venv` by a new environment that contains only pip."""
    # Debian has ensurepip in a separate package.
    if not has_module(sys.executable, "ensurepip"):
        install_ensurepip()
    shutil.rmtree(venv, ignore_errors=True)
    run([sys.executable, "-I", "-m", "venv", str(venv)], "python -m venv failed, see above")


def install_ensurepip() -> None:
    """Install Debian's package with ensurepip; raises SetupError where that is not possible."""
    package = f"python3.{sys.version_info.minor}-venv"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SetupError(
            f"{sys.executable} cannot make environments: run `apt-get install {package}` as root"
        )
    say(f"installing Debian's {package} ...")
    hint = f"apt-get could not install {package}; install it by hand, then run ops/setup again"
    run(["apt-get", "update", "-qq"], hint)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package], hint)


def install_pinned(venv: Path, pins: Path) -> None:
    """Install one pin file."""
    # Wheels only, because building a source archive would download build tools without pins. No dependencies,
    # because the file lists them all. No compilation, because most modules are never imported: see `warm`.
    options = ("--require-hashes", "--only-binary=:all:", "--no-deps", "--no-compile")
    pip(venv, "install", *options, "--requirement", str(pins))


def warm(venv: Path, root: Path) -> None:
    """Compile the modules that a worker imports: with PYTHONDONTWRITEBYTECODE each start would cost 2 s."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # A failure is ignored: workers then only start more slowly.
    children.run(
        [str(venv / "bin/python"), "-c", "import worker.process.worker, worker.cli"],
        cwd=root,
        env=env,
        stdout=children.DEVNULL,
    )


def pip(venv: Path, *arguments: str) -> None:
    """Run the environment's pip with the machine's own index and certificate settings.

    Raises:
        SetupError: pip failed.
    """
    hint = (
        "pip could not install, see above. Behind a proxy or a private index, set pip's own settings"
        " (`pip config`, PIP_INDEX_URL, PIP_PROXY, PIP_CERT) and run ops/setup again"
    )
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    run([str(venv / "bin/python"), "-m", "pip", *arguments, *options], hint)


def run(command: Sequence[str], hint: str) -> None:
    """Run one command; show its output only if it fails.

    Raises:
        SetupError: The command failed; the message is `hint`.
    """
    env = {name: value for name, value in os.environ.items() if name not in _PIP_SETTINGS_THAT_MISLEAD}
    # The project itself has no hash, so the variable is off; `install_pinned` requires hashes by option.
    env |= {"PIP_REQUIRE_HASHES": "0", "DEBIAN_FRONTEND": "noninteractive"}
    done = children.run(command, env=env, stdout=children.PIPE, stderr=children.STDOUT)
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        raise SetupError(hint)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Allow one `ops/setup` at a time in this checkout; wait for the lock."""
    directory = root / ".work"
    directory.mkdir(exist_ok=True)
    with (directory / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another ops/setup is running in this checkout; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Print a message for the user on stderr; stdout is for the command that runs next."""
    print(f"[setup] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
