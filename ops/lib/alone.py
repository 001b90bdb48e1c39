"""Runs a shell script and ends all its processes: `python3 -I ops/lib/alone.py COMMAND [ARGUMENTS]`.

A shell handles a signal only after its current command has ended, and a shell that is killed leaves the
command running. Here the script and its commands are one process group, which ends when this process ends,
whether by itself, by a signal or by SIGKILL.
"""

import sys
from pathlib import Path

# `python -I FILE` does not put the repository on the module path.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ops.lib import children, ending

if __name__ == "__main__":
    ending.catch_signals()
    script = children.start(sys.argv[1:], stdin=None)
    with children.ended(script):
        sys.exit(script.wait())
