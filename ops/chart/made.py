"""Which files of the chart are made, and from what."""

import json
from pathlib import Path

import yaml

from ops.chart.readme import readme
from ops.chart.schema import schema
from ops.chart.values import documented

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/corti-worker"


def made() -> dict[Path, str]:
    """Every file that is made, with its text.

    Helm reads no file outside a chart, so dashboards and alerts are copied into it.
    """
    values = documented((CHART / "values.yaml").read_text())
    files = {
        CHART / "README.md": readme(values),
        CHART / "values.schema.json": json.dumps(schema(values), indent=2) + "\n",
    }
    for source in sorted((ROOT / "ops/dashboards").glob("*.json")):
        files[CHART / "files/dashboards" / source.name] = source.read_text()
    for source in sorted((ROOT / "ops/alerts").glob("*.yaml")):
        # Beside the rules lie their tests.
        if "groups" in yaml.safe_load(source.read_text()):
            files[CHART / "files/alerts" / source.name] = source.read_text()
    return files


def stale() -> list[Path]:
    """Files that differ from what would be made, are missing, or are made from nothing any more."""
    files = made()
    there = {path for folder in ("dashboards", "alerts") for path in (CHART / "files" / folder).glob("*.*")}
    differing = {path for path, text in files.items() if not path.is_file() or path.read_text() != text}
    return sorted(differing | (there - files.keys()))
