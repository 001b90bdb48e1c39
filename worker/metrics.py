"""Prometheus metrics, made from the names in `worker/measures.py`."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from worker import __version__, measures


class _Family(Collector):
    """One metric, made anew at each scrape."""

    def __init__(self, make: Callable[[], Metric]) -> None:
        self._make = make

    def collect(self) -> Iterator[Metric]:
        yield self._make()


class Metrics:
    """Implements the `Recorder` port, and renders what it recorded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters = {
            m.name: prometheus_client.Counter(m.name, m.help, m.labels, registry=self.registry)
            for m in measures.EVERY
            if isinstance(m, measures.Counter) and not m.watched
        }
        self._histograms = {
            m.name: prometheus_client.Histogram(
                m.name, m.help, m.labels, buckets=m.buckets, registry=self.registry
            )
            for m in measures.EVERY
            if isinstance(m, measures.Histogram) and not m.watched
        }
        prometheus_client.Info("corti_worker_build", "What runs here.", registry=self.registry).info(
            {"version": __version__}
        )
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)

    def count(self, counter: measures.Counter, by: float = 1.0, **labels: str) -> None:
        """See `worker.ports.Recorder`."""
        metric = self._counters[counter.name]
        (metric.labels(**labels) if labels else metric).inc(by)

    def observe(self, histogram: measures.Histogram, value: float, **labels: str) -> None:
        """See `worker.ports.Recorder`."""
        metric = self._histograms[histogram.name]
        (metric.labels(**labels) if labels else metric).observe(value)

    def watch(self, gauge: measures.Gauge, read: Callable[[], float]) -> None:
        """Ask `read` for the level of a gauge at each scrape."""
        prometheus_client.Gauge(gauge.name, gauge.help, registry=self.registry).set_function(read)

    def watch_total(self, counter: measures.Counter, read: Callable[[], float]) -> None:
        """Ask `read` for a counter's value at each scrape."""
        self._collect(lambda: CounterMetricFamily(counter.name, counter.help, value=read()))

    def watch_distribution(
        self, histogram: measures.Histogram, read: Callable[[], tuple[Sequence[int], float]]
    ) -> None:
        """Ask `read` for a distribution at each scrape: a count for each bucket and the rest, and the sum."""

        def collect() -> HistogramMetricFamily:
            counts, total = read()
            bounds = [str(float(bound)) for bound in (*histogram.buckets, math.inf)]
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            return HistogramMetricFamily(histogram.name, histogram.help, buckets, total)

        self._collect(collect)

    def _collect(self, family: Callable[[], Metric]) -> None:
        self.registry.register(_Family(family))

    def render(self) -> bytes:
        """The text exposition of everything recorded."""
        return prometheus_client.generate_latest(self.registry)
