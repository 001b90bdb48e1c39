"""Starts the job consumer that is built like the vendor's quick start."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.benchmarks.fleet import Installation
from ops.benchmarks.meter import cores
from ops.benchmarks.native.server import LoadServer
from ops.lib import children

QUICKSTART = "quick-start script x 8"
_PROCESSES = 8
_REPOSITORY = Path(__file__).resolve().parents[3]


@contextmanager
def quickstart(made: Installation, server: LoadServer) -> Iterator[tuple[int, float]]:
    """Start its processes; yield the parent's process id and the seconds until all were ready."""
    began = time.monotonic()
    process = children.start(
        [
            *(sys.executable, "-m", "ops.benchmarks.subjects.quickstart_jobs", "--redis", made.broker_url),
            *("--url", server.url, "--ca", str(server.ca_file), "--processes", str(_PROCESSES)),
        ],
        cwd=_REPOSITORY,
        stdout=children.PIPE,
    )
    os.sched_setaffinity(process.pid, {cores()[1]})
    try:
        assert process.stdout is not None  # noqa: S101
        if not process.stdout.readline():
            raise RuntimeError("the quick-start-like consumer ended while starting")
        yield process.pid, time.monotonic() - began
    finally:
        children.end(process)
        if process.stdout is not None:
            process.stdout.close()
