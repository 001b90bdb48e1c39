"""Entry point of ``python -m ops.sandbox``."""

import sys

from ops.sandbox.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
