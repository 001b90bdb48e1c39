"""`ops/bench scale`: simulates how KEDA scales workers on a day of consultations, with the chart's values.

It shows that replicas follow the waiting and running jobs, that their number does not oscillate, and that no
consultation is interrupted; and what happens with other common settings. Nothing is measured: the load and
the autoscaler are simulated.
"""

import argparse
import csv
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ops.benchmarks.autoscaler import Autoscaler, Direction, Policy
from ops.benchmarks.cluster import Cluster, Consultation, Day
from ops.benchmarks.scale_plot import draw

_ROOT = Path(__file__).resolve().parents[2]
_PICTURE = Path(__file__).with_name("scale.svg")
_HOUR = 3600.0
#: Number of consultations that begin in each hour of the day, at a group of hospitals: clinics in the morning
#: and the afternoon, a lunch break, few in the night. In addition, `_NIGHTLY` stored recordings are sent at
#: `_NIGHTLY_HOUR`. A number of replicas that follows these three peaks changes its direction five times.
_STARTS = (
    *(30, 20, 20, 20, 30, 60, 200, 900, 1900, 2300, 2300, 1900),
    *(800, 1700, 2200, 2100, 1500, 700, 300, 200, 150, 100, 60, 40),
)
_NIGHTLY_HOUR, _NIGHTLY = 22, 900
_MEDIAN, _SPREAD, _LONGEST = 840.0, 0.55, 3900.0


@dataclass(frozen=True)
class Way:
    """A configuration of the autoscaler.

    Attributes:
        name: Name in the table.
        policy: The HPA's parameters.
        grace: Seconds that a removed worker may continue its jobs.
        count_running: Whether the metric counts running jobs too.
        choose_idlest: Whether the worker with the fewest jobs is removed first.
    """

    name: str
    policy: Policy
    grace: float
    count_running: bool = True
    choose_idlest: bool = False


def a_day(seed: int = 1) -> list[Consultation]:
    """Return a random day: starts by `_STARTS`; log-normal lengths, median 14 minutes, at most 65 minutes."""
    chance = random.Random(seed)

    def length() -> float:
        return min(chance.lognormvariate(math.log(_MEDIAN), _SPREAD), _LONGEST)

    hours = [(hour + chance.random()) * _HOUR for hour, count in enumerate(_STARTS) for _ in range(count)]
    nightly = [_NIGHTLY_HOUR * _HOUR + 0.02 * number for number in range(_NIGHTLY)]
    return sorted(Consultation(start, length()) for start in (*hours, *nightly))


def recorded(path: Path) -> list[Consultation]:
    """Read a recorded load from a CSV file with the columns `arrived` and `seconds`, both in seconds."""
    with path.open(newline="") as file:
        rows = [Consultation(float(row["arrived"]), float(row["seconds"])) for row in csv.DictReader(file)]
    first = min(row.arrived for row in rows)
    return sorted(replace(row, arrived=row.arrived - first) for row in rows)


def chart() -> tuple[Policy, dict[str, Any]]:
    """Return the policy in the default values of helm/corti-worker, and all values."""
    values = yaml.safe_load((_ROOT / "helm/corti-worker/values.yaml").read_text())
    scaling = values["autoscaling"]
    up, down = (
        Direction(part["stabilizationSeconds"], part["pods"], part["periodSeconds"])
        for part in (scaling["scaleUp"], scaling["scaleDown"])
    )
    target = values["slots"] * scaling["targetUtilization"] // 100
    return Policy(target, scaling["minReplicas"], scaling["maxReplicas"], up, down), values


def ways() -> list[Way]:
    """Return the chart's configuration, and other common ones."""
    policy, values = chart()
    grace = float(values["graceSeconds"])
    # The default of an HPA: it removes any number of replicas after five minutes.
    usual = replace(policy, up=Direction(0.0, policy.most, 15.0), down=Direction(300.0, policy.most, 15.0))
    return [
        Way("the chart", policy, grace),
        Way("the chart, idlest first", policy, grace, choose_idlest=True),
        Way("the chart, 60 s of grace", policy, 60.0),
        Way("HPA's usual speed, 60 s of grace", usual, 60.0),
        Way("only what waits is counted", usual, 60.0, count_running=False),
    ]


def simulate(way: Way, load: Sequence[Consultation], slots: int) -> Day:
    """Simulate a load with one configuration; `slots` is the number of jobs that a worker runs at once."""
    cluster = Cluster(
        Autoscaler(way.policy),
        slots=slots,
        grace=way.grace,
        choose_idlest=way.choose_idlest,
        count_running=way.count_running,
    )
    return cluster.run(load)


_COLUMNS = ("way", "replicas", "changes", "turns", "cut", "wait: median / 99 % / longest", "worker hours")


def row(way: Way, day: Day) -> str:
    """Return a line of the table."""
    replicas = [line[3] for line in day.line]
    waits = (day.wait(0.5), day.wait(0.99), max(day.waits))
    cells = [
        way.name,
        f"{min(replicas)} to {max(replicas)}",
        str(len(day.changes)),
        str(day.turns()),
        str(day.cut),
        " / ".join(f"{seconds:.0f}" for seconds in waits) + " s",
        f"{day.worker_seconds / _HOUR:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and draw the picture; return the exit code."""
    parser = argparse.ArgumentParser(prog="ops/bench scale", description=__doc__)
    parser.add_argument("--load", type=Path, help="CSV with `arrived,seconds`, instead of the random day")
    parser.add_argument("--picture", type=Path, default=_PICTURE, help="SVG file to write")
    options = parser.parse_args(arguments)
    load = recorded(options.load) if options.load else a_day()
    slots = chart()[1]["slots"]
    print(f"{len(load)} consultations, {slots} slots per worker")
    print(f"| {' | '.join(_COLUMNS)} |")
    print("|---" * len(_COLUMNS) + "|")
    for number, way in enumerate(ways()):
        day = simulate(way, load, slots)
        print(row(way, day), flush=True)
        if number == 0:
            options.picture.write_text(draw(day, way.policy.target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
