"""The chart's README.md: the text of ops/chart/readme.md, and a table of the values in values.yaml."""

import json
from collections.abc import Iterable
from pathlib import Path

from ops.chart.values import Value


def readme(values: Iterable[Value]) -> str:
    """Return the text of README.md."""
    prose = Path(__file__).with_name("readme.md").read_text()
    rows = [
        f"| `{value.name}` | `{_cell(json.dumps(value.default))}` | {_cell(value.text)} |" for value in values
    ]
    return prose + "\n".join(["| value | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
