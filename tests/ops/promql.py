"""The metrics and labels that a PromQL expression names, found by patterns; promtool parses it."""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from worker.broker.topology import DEAD, RESULTS, Lane
from worker.telemetry.catalogue import EVERY
from worker.telemetry.label_values import KNOWN
from worker.telemetry.metric_kinds import Counter, Gauge, Histogram, Info
from worker.telemetry.metrics import Metrics

MEASURES = {one.name: one for one in EVERY}
_NAME = re.compile(r"(?<![\w:$])(?:(?:corti|process|python)[_:][a-zA-Z0-9_:]+|ALERTS\b)")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^{}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|=|!=)\s*"((?:[^"\\]|\\.)*)"')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
#: Labels that Prometheus or Kubernetes attaches.
_ATTACHED = {"namespace", "pod", "instance", "job"}
_QUEUES = {getattr(lane, part) for lane in (Lane(), Lane("urgent")) for part in ("jobs", "work", "aside")}
_OPEN = {
    "queue": _QUEUES | {RESULTS, DEAD},
    "state": {"waiting", "running"},
    "check": {"startup", "redis", "consumer", "door", "drain", "audit"},
    "status": {"2xx", "3xx", "4xx", "5xx", "error"},
}


def samples_of(one: Counter | Histogram | Gauge | Info) -> set[str]:
    """The names of a measure's samples."""
    match one:
        case Histogram():
            return {f"{one.name}_{ending}" for ending in ("bucket", "sum", "count")}
        case Info():
            return {f"{one.name}_info"}
        case _:
            return {one.name}


def exported() -> dict[str, str]:
    """The measure of each exported sample; a sample of the client library or of Prometheus maps to itself."""
    ours = {sample: one.name for one in EVERY for sample in samples_of(one)}
    library = {
        sample.name: sample.name
        for family in Metrics().registry.collect()
        for sample in family.samples
        if not family.name.startswith("corti_")
    }
    return ours | library | {"ALERTS": "ALERTS"}


def names(expression: str) -> set[str]:
    """The metrics and recorded series that an expression reads."""
    return set(_NAME.findall(_STRING.sub('""', expression)))


def faults(expression: str) -> Iterator[str]:
    """Selectors that find nothing: the metric does not have the label, or the label never has the value."""
    own = exported()
    for name, inside in _SELECTOR.findall(expression):
        measure = MEASURES.get(own.get(name, ""))
        for label, value in _MATCHER.findall(inside):
            if label in _ATTACHED:
                continue
            if measure is None:
                known = _OPEN.get(label)
            elif label == "le" and isinstance(measure, Histogram):
                known = {str(bound) for bound in measure.buckets}
            elif label not in measure.labels:
                yield f"{name} has no label {label}"
                continue
            elif isinstance(measure, Counter) and measure in KNOWN:
                known = {values[measure.labels.index(label)] for values in KNOWN[measure]}
            else:
                known = _OPEN.get(label)
            for one in _alternatives(json.loads(f'"{value}"')):
                if known is not None and not any(re.fullmatch(one, each) for each in known):
                    yield f"{label} of {name} is never {one}"


def _alternatives(pattern: str) -> list[str]:
    return [pattern] if "(" in pattern else pattern.split("|")


def promtool(*arguments: str | Path) -> tuple[int, str]:
    """Run promtool; return its exit code and its output."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def parse(expressions: Iterable[str], folder: Path) -> tuple[int, str]:
    """Let promtool parse expressions, as a file of recording rules."""
    rules = [{"record": f"parsed:{n}", "expr": one} for n, one in enumerate(expressions)]
    document: Mapping[str, object] = {"groups": [{"name": "parsed", "rules": rules}]}
    path = folder / "parsed.yaml"
    path.write_text(json.dumps(document))
    return promtool("check", "rules", path)
