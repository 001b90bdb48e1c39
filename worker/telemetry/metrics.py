"""Prometheus metrics, made from the names in `worker/telemetry/catalogue.py`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

import prometheus_client
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from worker import __version__
from worker.telemetry import catalogue, trace
from worker.telemetry.label_values import KNOWN
from worker.telemetry.metric_kinds import Counter, Gauge, Histogram

#: The levels of a gauge, by the values of its labels in their order.
Levels = Mapping[tuple[str, ...], float]


class _Watched(Collector):
    """Gauges whose levels are asked for at each scrape."""

    def __init__(self) -> None:
        self.gauges: dict[str, tuple[Gauge, Callable[[], float | Levels | None]]] = {}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for gauge, read in tuple(self.gauges.values()):
            level = read()
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            if level is not None:
                levels = level if isinstance(level, Mapping) else {(): level}
                for labels, value in levels.items():
                    family.add_metric(labels, value)
            yield family


class _Family(Collector):
    """One metric, made anew at each scrape."""

    def __init__(self, make: Callable[[], Metric]) -> None:
        self._make = make

    def collect(self) -> Iterable[Metric]:
        yield self._make()


class Metrics:
    """Implements the `Recorder` port, and renders what it recorded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters = {
            m.name: prometheus_client.Counter(m.name, m.help, m.labels, registry=self.registry)
            for m in catalogue.EVERY
            if isinstance(m, Counter) and not m.watched
        }
        self._histograms = {
            m.name: prometheus_client.Histogram(
                m.name, m.help, m.labels, buckets=m.buckets, registry=self.registry
            )
            for m in catalogue.EVERY
            if isinstance(m, Histogram) and not m.watched
        }
        for counter, known in KNOWN.items():
            for values in known:
                self._counters[counter.name].labels(*values)
        build = catalogue.BUILD
        prometheus_client.Info(build.name, build.help, registry=self.registry).info({"version": __version__})
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)
        self._watched = _Watched()
        self.registry.register(self._watched)

    def count(self, counter: Counter, by: float = 1.0, **labels: str) -> None:
        """See `worker.jobs.ports.Recorder`."""
        metric = self._counters[counter.name]
        (metric.labels(**labels) if labels else metric).inc(by, _exemplar(counter))

    def observe(self, histogram: Histogram, value: float, **labels: str) -> None:
        """See `worker.jobs.ports.Recorder`."""
        metric = self._histograms[histogram.name]
        (metric.labels(**labels) if labels else metric).observe(value, _exemplar(histogram))

    def begin(self, counter: Counter, *values: tuple[str, ...]) -> None:
        """Export a counter from 0 on for these values of its labels, which only a running worker knows."""
        for one in values:
            self._counters[counter.name].labels(*one)

    def watch(self, gauge: Gauge, read: Callable[[], float | Levels | None]) -> None:
        """Ask `read` for the level of a gauge at each scrape.

        Args:
            gauge: The gauge; watched once.
            read: Gives its level, or one for each set of labels, or None where there is nothing to tell.
                Must be quick: a scrape waits for it.
        """
        if gauge.name in self._watched.gauges:
            raise ValueError(f"{gauge.name} is watched already")
        self._watched.gauges[gauge.name] = gauge, read

    def watch_total(self, counter: Counter, read: Callable[[], float]) -> None:
        """Ask `read` for a counter's value at each scrape."""
        self.registry.register(_Family(lambda: CounterMetricFamily(counter.name, counter.help, value=read())))

    def watch_distribution(
        self, histogram: Histogram, read: Callable[[], tuple[Sequence[int], float]]
    ) -> None:
        """Ask `read` for a distribution at each scrape: counts for each bucket and the rest, and the sum."""

        def collect() -> HistogramMetricFamily:
            counts, total = read()
            bounds = [str(bound) for bound in histogram.buckets]
            buckets = list(zip((*bounds, "+Inf"), accumulate(counts), strict=True))
            return HistogramMetricFamily(histogram.name, histogram.help, buckets, total)

        self.registry.register(_Family(collect))

    def page(self, accept: str) -> tuple[str, bytes]:
        """The exposition of everything recorded, in the format that a client's `Accept` header prefers.

        Exemplars are in OpenMetrics only; Prometheus asks for that when exemplar storage is switched on.

        Returns:
            Content type and text.
        """
        encode, content_type = exposition.choose_encoder(accept)
        return content_type, encode(self.registry)

    def render(self) -> bytes:
        """The plain text exposition of everything recorded."""
        return prometheus_client.generate_latest(self.registry)


def _exemplar(measure: catalogue.Measure) -> dict[str, str] | None:
    trace_id = trace.trace_id() if measure.exemplar else None
    return {"trace_id": trace_id} if trace_id else None
