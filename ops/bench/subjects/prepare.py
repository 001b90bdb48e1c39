"""Makes everything the subjects need: npm packages and the C programs. Python packages are pinned with ours."""

import shutil
import subprocess
from pathlib import Path

from ops.bench.native.build import build

NODE = Path(__file__).parent / "node"
_STAMP = NODE / "node_modules" / ".package-lock.json"


class PrepareError(RuntimeError):
    """Something that subjects need could not be made; the text says what to do."""


def node_available() -> tuple[bool, str]:
    """Whether the subjects on Node can run here, and why not."""
    found = shutil.which("node") is not None and shutil.which("npm") is not None
    return found, "node and npm are needed for @corti/sdk: on Debian, `apt-get install nodejs npm`"


def prepare_native() -> None:
    """Compile the C programs.

    Raises:
        BuildError: There is no compiler.
    """
    build("loadserver")
    build("floor")


def prepare_node() -> None:
    """Install the npm packages of the lock file, unless that was done.

    Raises:
        PrepareError: There is no Node.js, or npm could not install.
    """
    found, reason = node_available()
    if not found:
        raise PrepareError(reason)
    # npm writes its own copy of the lock when an installation is complete.
    if _STAMP.exists() and _STAMP.stat().st_mtime >= (NODE / "package-lock.json").stat().st_mtime:
        return
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise PrepareError(f"npm could not install the packages of {NODE}\n{done.stderr[-1000:]}")
