"""Runs the quick-start script in a process for each stream."""

import json
import signal
import subprocess
import sys
import time
from typing import Any

from ops.benchmarks.subjects.common import Options, percentiles


def main() -> None:
    """Start a process for each stream, and print the two lines of output."""
    options = Options.read()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    start = time.monotonic()
    processes = []
    for number in range(options.streams):
        time.sleep(max(0.0, start + options.opens_after(number) - time.monotonic()))
        processes.append(_start(options))
    failures = sum(_line(process).get("failures", 1) for process in processes)
    print(json.dumps({"ready": True, "failures": failures}), flush=True)
    signal.sigtimedwait([signal.SIGTERM], options.seconds)
    for process in processes:
        process.terminate()
    last = [_line(process) for process in processes]
    connects = [line["connect_ms"]["p50"] / 1000 for line in last if line and line["connect_ms"]["n"]]
    failures = sum(line.get("failures", 1) for line in last)
    print(json.dumps({"failures": failures, "connect_ms": percentiles(connects)}), flush=True)
    for process in processes:
        process.wait()


def _start(options: Options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ops.benchmarks.subjects.quickstart", "--streams=1"]
    command += [f"--url={options.url}", f"--ca={options.ca}", f"--chunk-ms={options.chunk * 1000}"]
    # Children end at SIGTERM. The seconds only limit how long they run if this process is killed.
    command.append(f"--seconds={options.seconds + options.ramp + 60}")
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the next line that a child prints; an empty dict if it has ended."""
    assert process.stdout is not None  # noqa: S101
    line = process.stdout.readline()
    return json.loads(line) if line else {}


if __name__ == "__main__":
    main()
