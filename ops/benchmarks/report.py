"""The output of a benchmark: a progress bar, a table, and a JSON file with figures and their conditions."""

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
    """Make a table with a line for each group of rows, of medians and ranges.

    Args:
        title: Title of the table.
        rows: Measurements.
        by: The columns by which rows are grouped.
        columns: The other columns: name -> heading. Columns that no row has are left out.
        caption: Text below the table.
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
    """Print tables to standard output; if that is no terminal, 200 columns wide."""
    # A file or pipe has no width, and the default of rich would break numbers over lines.
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    for one in tables:
        out.print(one)


@contextmanager
def progress(description: str, steps: int) -> Iterator[Callable[[str], None]]:
    """Show a progress bar on standard error; yield a function to call with the name of each step."""
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
    """Write unrounded measurements, with their machine, versions and command.

    Args:
        path: The file to write.
        kind: Name of the benchmark.
        rows: The measurements.
        more: Further entries, such as the benchmark's parameters.
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
    """Return a description of this machine."""
    server, subject = cores()
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "core_of_servers": server,
        "core_of_subject": subject,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        # Load by other processes affects the figures.
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, OpenSSL and the relevant packages."""
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
