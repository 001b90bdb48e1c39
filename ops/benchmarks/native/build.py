"""Compiles the C programs of the benchmarks. A program is compiled again when its sources change."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ops.lib import children

SOURCES = Path(__file__).parent
BUILT = Path(__file__).resolve().parents[3] / ".work" / "bench"
PROGRAMS = {
    "loadserver": ("loadserver.c", "http.c", "stream.c", "stats.c"),
    "floor": ("floor.c",),
}
_FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror")
_LIBRARIES = ("-lssl", "-lcrypto")
_PACKAGES = ("gcc", "libc6-dev", "libssl-dev")


class BuildError(RuntimeError):
    """Something that the benchmarks need could not be made. The text says why, and what to do."""


def available() -> tuple[bool, str]:
    """Return whether programs can be compiled here, if need be after an installation; and why not."""
    return _tools_work() or may_install(), f"the benchmarks compile C: install {' '.join(_PACKAGES)}"


def build(name: str) -> Path:
    """Compile a program of `PROGRAMS`, unless it is up to date, and return its path.

    On Debian, a missing compiler is installed if this process runs as root.

    Raises:
        BuildError: There is no compiler, or it refused the source.
    """
    sources = [SOURCES / file for file in PROGRAMS[name]]
    texts = [file.read_bytes() for file in (*sources, *sorted(SOURCES.glob("*.h")))]
    digest = hashlib.sha256(b"\0".join([*texts, " ".join(_FLAGS).encode()])).hexdigest()[:12]
    program = BUILT / f"{name}-{digest}"
    if program.exists():
        return program
    if not _tools_work():
        install(*_PACKAGES)
    BUILT.mkdir(parents=True, exist_ok=True)
    # Two runs may compile at once: each writes its own file, and the last rename replaces the other.
    with tempfile.TemporaryDirectory(dir=BUILT) as folder:
        made = Path(folder) / name
        _run(["gcc", *_FLAGS, *map(str, sources), "-o", str(made), *_LIBRARIES], f"gcc refused {name}")
        made.rename(program)
    return program


def _tools_work() -> bool:
    if shutil.which("gcc") is None:
        return False
    test = subprocess.run(
        ["gcc", "-E", "-"], input=b"#include <openssl/ssl.h>\n", capture_output=True, check=False
    )
    return test.returncode == 0


def may_install() -> bool:
    """Return whether this is a Debian machine and this process runs as root."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str) -> None:
    """Install Debian packages.

    Raises:
        BuildError: `may_install` is false, or apt-get failed.
    """
    advice = f"run `apt-get install {' '.join(packages)}` as root"
    if not may_install():
        raise BuildError(f"this machine lacks packages that the benchmarks need: {advice}")
    _run(["apt-get", "update", "-qq"], "apt-get update failed")
    _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], advice)


def _run(command: list[str], hint: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = children.run(command, env=environment, stdout=children.PIPE, stderr=children.PIPE)
    if done.returncode != 0:
        raise BuildError(f"{hint}\n{done.stdout}{done.stderr}")
