"""`python -m worker`: the same as `corti-worker`."""

from worker.cli import main

main()
