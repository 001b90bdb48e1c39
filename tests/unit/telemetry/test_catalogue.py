"""Metrics: names that dashboards can rely on, and labels that stay few."""

import re
from collections import Counter as Tally

import pytest

from worker.telemetry import catalogue
from worker.telemetry.catalogue import EVERY
from worker.telemetry.label_values import KNOWN
from worker.telemetry.metric_kinds import Counter, Gauge, Histogram, Info
from worker.telemetry.metrics import Metrics

#: The allowed labels: each has few values. A label with a value for each job or patient must not be added.
ALLOWED_LABELS = {
    "outcome",
    "reason",
    "layer",
    "operation",
    "status",
    "type",
    "queue",
    "state",
    "check",
    "tenant",
    "version",
}
COUNTERS = [one for one in EVERY if isinstance(one, Counter)]
HISTOGRAMS = [one for one in EVERY if isinstance(one, Histogram)]
GAUGES = [one for one in EVERY if isinstance(one, Gauge)]


def test_every_measure_of_the_module_is_listed_once_under_one_name() -> None:
    named = [
        value
        for name, value in vars(catalogue).items()
        if isinstance(value, Counter | Histogram | Gauge | Info)
    ]
    assert list(EVERY) == named
    assert Tally(one.name for one in EVERY).most_common(1)[0][1] == 1


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
def test_a_name_is_ours_and_a_sentence_explains_it(one: Counter | Histogram | Gauge | Info) -> None:
    assert re.fullmatch(r"corti(_[a-z]+)+", one.name)
    assert one.help.endswith(".")


def test_a_name_ends_in_what_is_counted() -> None:
    assert all(one.name.endswith("_total") for one in COUNTERS)
    assert all(one.name.endswith("_seconds") for one in HISTOGRAMS)
    assert not any(one.name.endswith(("_total", "_count", "_sum", "_bucket")) for one in GAUGES)
    for one in COUNTERS:
        # The unit stands before the ending, so that the name shows it.
        if "Seconds" in one.help:
            assert one.name.endswith("_seconds_total")
        if "Bytes" in one.help:
            assert one.name.endswith("_bytes_total")


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
def test_labels_are_bounded(one: Counter | Histogram | Gauge | Info) -> None:
    assert set(one.labels) <= ALLOWED_LABELS
    assert len(set(one.labels)) == len(one.labels)


@pytest.mark.parametrize("one", HISTOGRAMS, ids=lambda one: one.name)
def test_buckets_grow(one: Histogram) -> None:
    assert list(one.buckets) == sorted(set(one.buckets))
    assert one.buckets[0] > 0


def test_what_is_recorded_is_what_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.count(catalogue.JOBS_RECEIVED)
    metrics.count(catalogue.JOBS_FINISHED, outcome="failed", reason="expired")
    metrics.count(catalogue.CREDITS, 0.25)
    metrics.observe(catalogue.REST_SECONDS, 0.3, operation="create_interaction", status="2xx")
    metrics.watch(catalogue.SLOTS, lambda: 100)
    lines = metrics.render().decode().splitlines()
    for line in (
        "corti_jobs_received_total 1.0",
        'corti_jobs_finished_total{outcome="failed",reason="expired"} 1.0',
        "corti_credits_total 0.25",
        'corti_rest_request_seconds_bucket{le="0.5",operation="create_interaction",status="2xx"} 1.0',
        'corti_rest_request_seconds_bucket{le="0.25",operation="create_interaction",status="2xx"} 0.0',
        "corti_slots 100.0",
    ):
        assert line in lines


def test_every_counter_and_histogram_is_exported_from_the_start() -> None:
    text = Metrics().render().decode()
    exported = [
        *((one.name, one.help) for one in COUNTERS if not one.watched),
        *((one.name, one.help) for one in HISTOGRAMS if not one.watched),
    ]
    for name, meaning in exported:
        assert f"# HELP {name} {meaning}" in text


def test_two_processes_in_one_test_do_not_share_their_metrics() -> None:
    first, second = Metrics(), Metrics()
    first.count(catalogue.JOBS_RECEIVED)
    assert b"corti_jobs_received_total 0.0" in second.render()


def test_what_is_counted_elsewhere_is_exported_as_it_stands_at_the_scrape() -> None:
    metrics = Metrics()
    counts = [3, 2] + [0] * (len(catalogue.PACING_LATENESS.buckets) - 1)
    sent = [100.0]
    metrics.watch_total(catalogue.AUDIO_BYTES, lambda: sent[0])
    metrics.watch_distribution(catalogue.PACING_LATENESS, lambda: (counts, 0.25))
    sent[0], counts[-1] = 250.0, 1
    lines = metrics.render().decode().splitlines()
    for line in (
        "corti_audio_streamed_bytes_total 250.0",
        'corti_pacing_lateness_seconds_bucket{le="0.002"} 3.0',
        'corti_pacing_lateness_seconds_bucket{le="0.005"} 5.0',
        'corti_pacing_lateness_seconds_bucket{le="+Inf"} 6.0',
        "corti_pacing_lateness_seconds_count 6.0",
        "corti_pacing_lateness_seconds_sum 0.25",
    ):
        assert line in lines


def test_a_counter_whose_labels_are_a_closed_list_is_exported_from_zero() -> None:
    # Otherwise Prometheus' `increase` would be 0 for the first failure of a worker.
    text = Metrics().render().decode()
    assert 'corti_dead_letters_total{reason="expired"} 0.0' in text
    assert 'corti_jobs_finished_total{outcome="failed",reason="quota_exhausted"} 0.0' in text
    open_lists = {
        "corti_events_published_total",
        # A worker sets these to 0 for each tenant that it serves: `Application.runner`.
        "corti_admissions_refused_total",
        "corti_tenant_jobs_finished_total",
    }
    assert {one.name for one in COUNTERS if one.labels and one not in KNOWN} == open_lists


def test_labels_that_only_a_running_worker_knows_are_exported_from_zero_once_given() -> None:
    metrics = Metrics()
    metrics.begin(catalogue.ADMISSIONS_REFUSED, ("clinic-a",), ("clinic-b",))
    text = metrics.render().decode()
    for tenant in "clinic-a", "clinic-b":
        assert f'corti_admissions_refused_total{{tenant="{tenant}"}} 0.0' in text


@pytest.mark.parametrize("one", KNOWN, ids=lambda one: one.name)
def test_known_values_fit_the_labels(one: Counter) -> None:
    known = list(KNOWN[one])
    assert all(len(values) == len(one.labels) for values in known)
    assert len(set(known)) == len(known)
