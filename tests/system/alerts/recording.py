"""What the processes of an installation said at `/metrics`, second by second."""

import bisect
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Self

from ops.lib.worker_process import WorkerProcess

PERIOD = 2.0
#: Prometheus's own.
_TIMEOUT = 10.0
#: Series -> value, of one process at one moment.
Page = dict[str, float]


def parse(text: str, wanted: Collection[str], pod: str) -> tuple[Page, set[str]]:
    """The wanted samples of an exposition with a `pod` label, and which of these series are gauges."""
    page: Page = {}
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            kinds[name] = kind
        if line.startswith("#"):
            continue
        series, _, value = line.rpartition(" ")
        name, _, labels = series.partition("{")
        if name in wanted:
            page[f'{name}{{pod="{pod}",{labels or "}"}'] = float(value)
    return page, {series for series in page if kinds.get(series.partition("{")[0]) == "gauge"}


@dataclass(slots=True)
class Recording:
    """The pages of each process over time.

    Attributes:
        pages: Of each process: the moments of its scrapes, in seconds, and what it said; nothing when it
            did not answer.
        gauges: Which series are levels; all others are counters.
    """

    pages: list[list[tuple[float, Page]]] = field(default_factory=list)
    gauges: set[str] = field(default_factory=set)

    def at(self, moment: float) -> Page:
        """What the last scrapes up to a moment saw."""
        found: Page = {}
        for pages in self.pages:
            place = bisect.bisect_right(pages, moment, key=lambda one: one[0]) - 1
            if place >= 0:
                found |= pages[place][1]
        return found

    def values(self, series: str, begin: float, end: float) -> list[tuple[float, float]]:
        """The moments between two at which a series was seen, and its values."""
        return [
            (moment, page[series])
            for pages in self.pages
            for moment, page in pages
            if begin <= moment <= end and series in page
        ]

    def series(self) -> list[str]:
        """Every series that was ever seen, but of reasons only those that occurred.

        The others, nine tenths of all, add nothing to any sum.
        """
        highest: Page = {}
        for pages in self.pages:
            for _, page in pages:
                for series, value in page.items():
                    highest[series] = max(value, highest.get(series, value))
        return sorted(series for series, value in highest.items() if value or 'reason="' not in series)


class Recorder:
    """Scrapes processes, each from a thread of its own, as Prometheus would.

    Args:
        workers: The processes; may grow.
        wanted: Names of samples to keep.
    """

    def __init__(self, workers: Sequence[WorkerProcess], wanted: Collection[str]) -> None:
        self.recording = Recording()
        self._workers = workers
        self._wanted = wanted
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._watch, name="recorder", daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # The first is who starts the others.
        for thread in self._threads:
            thread.join()

    def now(self) -> float:
        """The present moment, as the recording counts."""
        return time.monotonic() - self._began

    def seen(self, condition: Callable[[Page], bool]) -> bool:
        """Whether what all said last meets a condition."""
        return condition(self.recording.at(self.now()))

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            while len(self._workers) > len(self.recording.pages):
                number = len(self.recording.pages)
                self.recording.pages.append([])
                thread = threading.Thread(target=self._scrape, args=(number,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _scrape(self, number: int) -> None:
        worker, pages = self._workers[number], self.recording.pages[number]
        while not self._stop.wait(PERIOD):
            dead = worker.process.poll() is not None
            # Who has not said yet where it serves cannot be known to Prometheus either.
            if not dead and worker.health_port() is None:
                continue
            text = "" if dead else worker.get("/metrics", timeout=_TIMEOUT)[1]
            page, gauges = parse(text, self._wanted, f"pod-{number}")
            self.recording.gauges |= gauges
            pages.append((self.now(), page))
            if dead:
                return
