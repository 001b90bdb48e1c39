"""A recording of what the processes of an installation show at `/metrics`."""

import bisect
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Self

from ops.lib.worker_process import WorkerProcess

PERIOD = 2.0
#: Prometheus's default time-out of a scrape.
_TIMEOUT = 10.0
#: The value of each series of one process at one moment.
Page = dict[str, float]


def parse(text: str, wanted: Collection[str], pod: str) -> tuple[Page, set[str]]:
    """The wanted samples of a metrics page, with a `pod` label added, and the set of their gauges."""
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
        pages: For each process the moments of its scrapes, in seconds, and their pages; a page is empty when
            the process did not answer.
        gauges: Names of the series that are gauges; all others are counters.
    """

    pages: list[list[tuple[float, Page]]] = field(default_factory=list)
    gauges: set[str] = field(default_factory=set)

    def at(self, moment: float) -> Page:
        """The samples of the last scrape of each process up to a moment."""
        found: Page = {}
        for pages in self.pages:
            place = bisect.bisect_right(pages, moment, key=lambda one: one[0]) - 1
            if place >= 0:
                found |= pages[place][1]
        return found

    def values(self, series: str, begin: float, end: float) -> list[tuple[float, float]]:
        """The moments from `begin` to `end` at which a series was scraped, and its values."""
        return [
            (moment, page[series])
            for pages in self.pages
            for moment, page in pages
            if begin <= moment <= end and series in page
        ]

    def series(self) -> list[str]:
        """Every series that was ever scraped; those with a `reason` only if they were ever above 0.

        The others with a reason, nine tenths of all series, add nothing to any sum.
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
        workers: The processes; the list may grow.
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
        # The first thread starts the others, so join it first.
        for thread in self._threads:
            thread.join()

    def now(self) -> float:
        """Seconds since the recording began."""
        return time.monotonic() - self._began

    def seen(self, condition: Callable[[Page], bool]) -> bool:
        """Whether the last samples of all processes together meet a condition."""
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
            # Prometheus would not know of a process either that has no health port yet.
            if not dead and worker.health_port() is None:
                continue
            text = "" if dead else worker.get("/metrics", timeout=_TIMEOUT)[1]
            page, gauges = parse(text, self._wanted, f"pod-{number}")
            self.recording.gauges |= gauges
            pages.append((self.now(), page))
            if dead:
                return
