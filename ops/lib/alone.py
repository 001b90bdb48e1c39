"""Runs a shell script that cannot end what it started: `python3 -I ops/lib/alone.py COMMAND [ARGUMENTS]`.

A shell waits for its command before it looks at a signal, and dies without it. Here the script and all that
it starts are one process group, which ends with this process, whatever signal or kill ends it.
"""

import sys
from pathlib import Path

# `python -I FILE` finds no module of ours by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ops.lib import children, ending

if __name__ == "__main__":
    ending.catch_signals()
    script = children.start(sys.argv[1:], stdin=None)
    with children.ended(script):
        sys.exit(script.wait())
