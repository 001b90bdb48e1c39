"""The figures that the pacer counts itself."""

import prometheus_client
import pytest
from prometheus_client.metrics_core import Metric

from worker.corti.stream.pacer import Figures
from worker.telemetry import catalogue
from worker.telemetry.metrics import Metrics


def test_figures_put_lateness_into_the_buckets_that_prometheus_would() -> None:
    bounds = catalogue.PACING_LATENESS.buckets
    values = [0.0, *bounds, *(bound * 1.001 for bound in bounds), bounds[-1] * 100]
    figures, metrics = Figures(), Metrics()
    reference = prometheus_client.Histogram(
        "corti_reference", "By the library.", buckets=bounds, registry=None
    )
    for value in values:
        figures.sent(8000, 0.25, value)
        reference.observe(value)
    assert (figures.bytes, figures.seconds) == (8000 * len(values), 0.25 * len(values))
    metrics.watch_distribution(catalogue.PACING_LATENESS, lambda: (figures.lateness, figures.lateness_sum))
    (ours,) = [one for one in metrics.registry.collect() if one.name == catalogue.PACING_LATENESS.name]
    (theirs,) = reference.collect()

    def told(family: Metric) -> dict[tuple[str, str], float]:
        samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
        return {
            (sample.name.removeprefix(family.name), sample.labels.get("le", "")): sample.value
            for sample in samples
        }

    assert told(ours) == pytest.approx(told(theirs))
