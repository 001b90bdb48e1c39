"""Installs npm packages and compiles C programs for the subjects. `ops/setup` installs Python packages."""

import shutil
from pathlib import Path

from ops.benchmarks.native.build import BuildError, build, install, may_install
from ops.lib import children

NODE = Path(__file__).parent / "node"
_STAMP = NODE / "node_modules" / ".package-lock.json"


def node_available() -> tuple[bool, str]:
    """Return whether the subjects on Node can run here, if need be after an installation; and why not."""
    return _node_found() or may_install(), "node and npm are needed for @corti/sdk: install nodejs npm"


def prepare() -> None:
    """Make everything that has not been made yet.

    Raises:
        BuildError: A package or tool is missing and could not be installed.
    """
    build("loadserver")
    build("floor")
    prepare_node()


def prepare_node() -> None:
    """Install the npm packages of the lock file, and Node.js if it is missing.

    Raises:
        BuildError: Node.js could not be installed, or npm failed.
    """
    if not _node_found():
        install("nodejs", "npm")
    # npm writes a copy of the lock file when an installation is complete.
    if _STAMP.exists() and _STAMP.stat().st_mtime >= (NODE / "package-lock.json").stat().st_mtime:
        return
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = children.run(command, cwd=NODE, stdout=children.PIPE, stderr=children.PIPE, timeout=300)
    if done.returncode != 0:
        raise BuildError(f"npm could not install the packages of {NODE}\n{done.stderr[-1000:]}")


def _node_found() -> bool:
    return shutil.which("node") is not None and shutil.which("npm") is not None
