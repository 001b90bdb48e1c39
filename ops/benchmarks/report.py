"""What a run shows: a progress bar, a table, and a JSON file that says where its figures come from."""

import json
import os
import platform
import shlex
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.benchmarks.figures import Row, figure, grouped
from ops.benchmarks.meter import cores

console = Console(stderr=True, highlight=False)

_REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGES = ("corti-worker", "celery", "kombu", "redis", "requests", "websocket-client", "websockets")
_CPU_INFO = Path("/proc/cpuinfo")


def table(
    title: str, rows: Sequence[Row], by: Sequence[str], columns: Mapping[str, str], caption: str = ""
) -> Table:
    """A table with one line for each group of rows, and medians with ranges in it.

    Args:
        title: Its title.
        rows: Measurements.
        by: The columns that make a group.
        columns: Names of the other columns, with their headings; those that no row has are left out.
        caption: Printed below.
    """
    shown = {name: heading for name, heading in columns.items() if figure(rows, name) is not None}
    made = Table(title=title, caption=caption or None, title_justify="left", caption_justify="left")
    for name in by:
        made.add_column(name)
    for heading in shown.values():
        made.add_column(heading, justify="right")
    for key, group in grouped(rows, by).items():
        cells = (figure(group, name) for name in shown)
        made.add_row(
            *("" if part is None else str(part) for part in key), *(str(cell or "") for cell in cells)
        )
    return made


def show(*tables: Table) -> None:
    """Print tables on standard output, as wide as they need when that is a file."""
    # A pipe has no width, and a table that breaks in the middle of a figure is of no use.
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    for one in tables:
        out.print(one)


@contextmanager
def progress(description: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error; call what it gives to name the next of the `steps` to be done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=steps)
        begun = 0

        def begin(step: str) -> None:
            nonlocal begun
            bar.update(task, completed=begun, description=f"{description}: {step}")
            begun += 1

        yield begin
        bar.update(task, completed=steps, description=description)


def write_json(path: Path, kind: str, rows: Sequence[Row], **more: Any) -> None:
    """Write measurements, unrounded, with the machine, versions and command they come from.

    Args:
        path: The file.
        kind: Which benchmark.
        rows: Its measurements.
        more: Further entries, such as its parameters.
    """
    content = {
        "benchmark": kind,
        "command": shlex.join(["ops/bench", *sys.argv[1:]]),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": machine(),
        "versions": versions(),
        **more,
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    console.print(f"figures: {path}")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    server, subject = cores()
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "core_of_servers": server,
        "core_of_subject": subject,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        # Others that used the machine meanwhile are in the figures too.
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """What the figures were measured with."""
    found = {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() or None
