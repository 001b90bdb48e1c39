"""`streams`: what N concurrent streams cost, the worker and its alternatives by turns."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ops.bench.fleet import installation, speech
from ops.bench.meter import Reading
from ops.bench.native.server import LoadServer

#: Seconds of quiet between the last stream's start and the measurement.
_SETTLE = 3.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One measurement: how many streams, for how long, how quickly they may come up."""

    streams: int
    seconds: float

    @property
    def ramp(self) -> float:
        """Seconds over which streams are started."""
        return max(1.0, self.streams / 200)

    @property
    def audio(self) -> float:
        """Seconds of audio that last until the measurement is over, however slow the start."""
        return self.seconds + _SETTLE + 20 + self.streams / 20
