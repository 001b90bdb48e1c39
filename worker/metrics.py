"""Prometheus metrics, made from the names in `worker/measures.py`."""

from collections.abc import Callable

import prometheus_client
from prometheus_client import CollectorRegistry

from worker import __version__, measures


class Metrics:
    """Implements the `Recorder` port, and renders what it recorded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters = {
            m.name: prometheus_client.Counter(m.name, m.help, m.labels, registry=self.registry)
            for m in measures.EVERY
            if isinstance(m, measures.Counter)
        }
        self._histograms = {
            m.name: prometheus_client.Histogram(
                m.name, m.help, m.labels, buckets=m.buckets, registry=self.registry
            )
            for m in measures.EVERY
            if isinstance(m, measures.Histogram)
        }
        build = measures.BUILD
        prometheus_client.Info(build.name, build.help, registry=self.registry).info({"version": __version__})
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

    def render(self) -> bytes:
        """The text exposition of everything recorded."""
        return prometheus_client.generate_latest(self.registry)
