"""The generated files of the chart, and the files they are generated from."""

import json
from pathlib import Path

import yaml

from ops.chart.readme import readme
from ops.chart.schema import schema
from ops.chart.values import documented

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/corti-worker"


def made() -> dict[Path, str]:
    """Return the text of each generated file, by path.

    Helm reads no file outside of the chart's directory, so dashboards and alerts are copied into it.
    """
    values = documented((CHART / "values.yaml").read_text())
    files = {
        CHART / "README.md": readme(values),
        CHART / "values.schema.json": json.dumps(schema(values), indent=2) + "\n",
    }
    for source in sorted((ROOT / "ops/dashboards").glob("*.json")):
        files[CHART / "files/dashboards" / source.name] = source.read_text()
    for source in sorted((ROOT / "ops/alerts").glob("*.yaml")):
        # The directory also holds the tests of the rules, which the chart does not need.
        if "groups" in yaml.safe_load(source.read_text()):
            files[CHART / "files/alerts" / source.name] = source.read_text()
    return files


def stale() -> list[Path]:
    """Return the files that are missing, differ from their generated text, or are no longer generated."""
    files = made()
    there = {path for folder in ("dashboards", "alerts") for path in (CHART / "files" / folder).glob("*.*")}
    differing = {path for path, text in files.items() if not path.is_file() or path.read_text() != text}
    return sorted(differing | (there - files.keys()))
