"""The committed alert rules, evaluated on a recording whose steady states are repeated for long enough.

An alert waits for minutes, and a test must not. So a fault is recorded at its real speed, with transitions
and a few seconds of the steady state that it leads to. That state is then repeated: counters grow in each
repetition by what they grew in the recording, gauges go through the same values, and a gauge that rose
throughout (the age of a result, the depth of a queue) goes on rising. No time is scaled, so thresholds in
seconds and rates keep their meaning. promtool then evaluates the rules as Prometheus would.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.ops import promql
from tests.system.alerts.recording import Recording
from tests.system.alerts.rules import RULES

#: Seconds between two samples of the replay, and between two evaluations (Prometheus's default).
STEP = 15
EVALUATION = 60
#: A gauge counts as rising if it never falls and went up at least so often; one step from 0 to 1 is no rise.
_RISES = 2
_FOUND = re.compile(r'alertname=\\?"(\w+)\\?"[^{}]*\}\s*(?:Value:)?\s*([-+.\deE]+)')


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of a recording, and how long its last seconds are repeated.

    Attributes:
        begin, end: Moments of the recording.
        steady: Seconds before `end` that show the steady state.
        lasts: For how many seconds the steady state is repeated.
    """

    begin: float
    end: float
    steady: float
    lasts: float

    @property
    def repeats(self) -> int:
        """How often the steady seconds are repeated."""
        return math.ceil(self.lasts / self.steady)

    @property
    def length(self) -> float:
        """Seconds in all."""
        return self.end - self.begin + self.repeats * self.steady


@dataclass(frozen=True, slots=True)
class Fired:
    """When an alert first and last fired, in seconds of the replay."""

    first: float
    last: float


class Replay:
    """A recording whose steady states are repeated.

    Args:
        recording: The recording.
        stretches: Pieces of it, in the order of the replay.
    """

    def __init__(self, recording: Recording, stretches: Sequence[Stretch]) -> None:
        self._recording = recording
        self._stretches = stretches

    @property
    def length(self) -> float:
        """Seconds in all."""
        return sum(one.length for one in self._stretches)

    def begin_of(self, number: int) -> float:
        """When a stretch begins."""
        return sum(one.length for one in self._stretches[:number])

    def samples(self, series: str) -> list[float | None]:
        """The values of a series at each step."""
        return list(self._samples(series))

    def fired(self, folder: Path, rules: Path = RULES) -> Mapping[str, Fired]:
        """Every alert that fired, by name.

        Args:
            folder: Where promtool's input file is written.
            rules: The file with the alert rules.

        Raises:
            RuntimeError: promtool failed for another reason than alerts that fired.
        """
        firing = 'ALERTS{alertstate="firing"}'
        whole = f"[{int(self.length)}s:{EVALUATION}s]"
        cases = [
            {
                "expr": f"{side} by (alertname) ({side}_over_time((timestamp({firing})){whole}))",
                "eval_time": f"{int(self.length)}s",
                "exp_samples": [],
            }
            for side in ("min", "max")
        ]
        inputs = [
            {"series": name, "values": text}
            for name in self._recording.series()
            if (text := notation(self.samples(name)))
        ]
        document = {
            "rule_files": [str(rules)],
            "evaluation_interval": f"{EVALUATION}s",
            "tests": [{"interval": f"{STEP}s", "input_series": inputs, "promql_expr_test": cases}],
        }
        path = folder / "replay.yaml"
        path.write_text(json.dumps(document, indent=1))
        code, said = promql.promtool("test", "rules", path)
        if code == 0:
            return {}
        # The file says that nothing fires, so promtool lists what did: first for `min`, then for `max`.
        found = _FOUND.findall(said.replace("\\", ""))
        half = len(found) // 2
        first, last = dict(found[:half]), dict(found[half:])
        if not found or first.keys() != last.keys():
            raise RuntimeError(f"promtool said: {said}")
        return {name: Fired(float(first[name]), float(last[name])) for name in first}

    def _samples(self, series: str) -> Iterator[float | None]:
        gauge = series in self._recording.gauges
        carried, begin = 0.0, 0.0
        moment = 0.0
        for stretch in self._stretches:
            grown = self._grown(series, stretch, gauge=gauge)
            while moment < begin + stretch.length:
                inside = moment - begin
                times, place = self._place(stretch, inside)
                value = self._recording.at(place).get(series)
                yield None if value is None else value + times * grown + (0.0 if gauge else carried)
                moment += STEP
            begin += stretch.length
            carried += stretch.repeats * grown

    @staticmethod
    def _place(stretch: Stretch, inside: float) -> tuple[int, float]:
        """How many repetitions have ended or begun by then, and the moment of the recording that is shown."""
        real = stretch.end - stretch.begin
        if inside < real:
            return 0, stretch.begin + inside
        times, rest = divmod(inside - real, stretch.steady)
        return int(times) + 1, stretch.end - stretch.steady + rest

    def _grown(self, series: str, stretch: Stretch, *, gauge: bool) -> float:
        """By how much the series grows in each repetition of the steady state."""
        before, after = (
            self._recording.at(moment).get(series) for moment in (stretch.end - stretch.steady, stretch.end)
        )
        if before is None or after is None or before == after:
            return 0.0
        if not gauge:
            return after - before
        known = self._recording.values(series, stretch.begin, stretch.end)
        steps = [other for one, other in pairwise(known) if one[1] != other[1]]
        if len(steps) < _RISES or any(one[1] > other[1] for one, other in pairwise(known)):
            return 0.0
        (began, low), (ended, high) = steps[0], steps[-1]
        return (high - low) / (ended - began) * stretch.steady


def notation(samples: Sequence[float | None]) -> str:
    """Values in promtool's notation: a repeated value is written once, the end of a series marked stale."""
    words: list[str] = []
    last: float | None = None
    repeated = 0

    def write() -> None:
        value = "_" if last is None else f"{last:.10g}"
        words.append(value if repeated == 0 else f"{value}x{repeated + (last is None)}")

    started = False
    for value in samples:
        if started and value == last:
            repeated += 1
            continue
        if started:
            write()
            repeated = 0
            if value is None:
                words.append("stale")
                last, started = None, False
                # The marker stands for this sample; the samples after it are missing.
                continue
        last, started = value, True
    if started:
        write()
    return "" if all(word.startswith("_") for word in words) else " ".join(words)
