"""Health and metrics as a probe and as Prometheus see them: over HTTP."""

import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from tests.contract.waiting import eventually
from tests.fakes import FakeRecorder
from worker import __version__
from worker.clock import SystemClock
from worker.telemetry import catalogue, metric_kinds, trace
from worker.telemetry.health import Check, HealthServer
from worker.telemetry.metrics import Levels, Metrics
from worker.telemetry.recorder import Recorder

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
GAUGES = [measure for measure in catalogue.EVERY if isinstance(measure, metric_kinds.Gauge)]
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Checked:
    """A health server with checks that a test can change."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.live: dict[str, Check] = {}
        self.ready: dict[str, Check] = {}
        self.startup: dict[str, Check] = {}
        self.status: dict[str, object] = {}
        self.server = HealthServer(
            "127.0.0.1",
            0,
            SystemClock(),
            self.live,
            self.ready,
            self.metrics.page,
            self.startup,
            lambda: self.status,
        )

    def get(self, path: str, accept: str = "*/*") -> tuple[int, str, str]:
        """The status, content type and text of a page."""
        url = f"http://127.0.0.1:{self.server.port}{path}"
        request = urllib.request.Request(url, headers={"Accept": accept})
        try:
            with _OPENER.open(request, timeout=5) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.fixture(scope="module")
def shared_checked() -> Iterator[Checked]:
    """One server for all tests."""
    made = Checked()
    with made.server:
        yield made


@pytest.fixture
def checked(shared_checked: Checked) -> Checked:
    """The server without checks."""
    shared_checked.live.clear()
    shared_checked.ready.clear()
    shared_checked.startup.clear()
    shared_checked.status.clear()
    return shared_checked


@pytest.fixture
def metered() -> Iterator[Checked]:
    """A server with metrics of its own."""
    made = Checked()
    with made.server:
        yield made


@pytest.mark.parametrize(("path", "checks"), [("/livez", "live"), ("/readyz", "ready")])
def test_a_page_is_good_when_all_its_checks_are(checked: Checked, path: str, checks: str) -> None:
    mine: dict[str, Check] = getattr(checked, checks)
    assert checked.get(path)[0] == 200
    mine["door"] = lambda: None
    assert checked.get(path) == (200, "text/plain; charset=utf-8", "door: ok\n")
    mine["broker"] = lambda: "not connected"
    assert checked.get(path)[::2] == (503, "door: ok\nbroker: not connected\n")
    other = {"/livez": "/readyz", "/readyz": "/livez"}[path]
    assert checked.get(other)[0] == 200, "checks of readiness and of liveness must not mix"
    mine["broker"] = lambda: None
    assert checked.get(path + "?verbose")[0] == 200


@pytest.mark.parametrize("path", ["/", "/nothing", "/metrics/", "/livez/.."])
def test_an_unknown_page_is_not_found(checked: Checked, path: str) -> None:
    assert checked.get(path)[0] == 404


def test_a_slow_probe_does_not_hold_up_the_others(checked: Checked) -> None:
    go_on = threading.Event()
    checked.ready["slow"] = lambda: None if go_on.wait(10) else "late"
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(checked.get, "/readyz")
        assert checked.get("/livez")[0] == 200
        assert not slow.done()
        go_on.set()
        assert slow.result()[0] == 200


def test_two_servers_cannot_share_a_port(checked: Checked) -> None:
    with pytest.raises(OSError, match="in use"):
        HealthServer("127.0.0.1", checked.server.port, SystemClock(), {}, {}, lambda _: ("", b""))


def test_startup_is_a_page_of_its_own_that_restarts_nothing(checked: Checked) -> None:
    checked.startup["startup"] = lambda: "starting"
    assert checked.get("/startupz")[::2] == (503, "startup: starting\n")
    assert checked.get("/livez")[0] == checked.get("/readyz")[0] == 200


def test_the_status_is_json(checked: Checked) -> None:
    checked.status |= {"version": "1", "slots": 100, "drain_seconds_left": None}
    status, kind, text = checked.get("/status")
    assert (status, kind, json.loads(text)) == (200, "application/json", checked.status)


def test_a_page_that_breaks_shows_only_the_type_of_the_error(
    checked: Checked, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise ValueError("Ada Example")

    checked.ready["broken"] = broken
    with capture_logs() as logs, pytest.raises(ConnectionError):
        checked.get("/readyz")
    eventually(lambda: bool(logs))
    assert logs == [{"event": "health_request_broke", "error": "ValueError", "log_level": "warning"}]
    assert "Ada" not in "".join(capfd.readouterr())


def test_the_server_stops_at_once_and_frees_its_port() -> None:
    for _ in range(10):
        first = Checked()
        with first.server:
            assert first.get("/livez")[0] == 200
            port, began = first.server.port, time.monotonic()
        assert time.monotonic() - began < 0.25
        with HealthServer("127.0.0.1", port, SystemClock(), {}, {}, first.metrics.page):
            pass


def level(gauge: metric_kinds.Gauge, value: float) -> Levels:
    """A value for a gauge, with any labels that it has."""
    return {("x",) * len(gauge.labels): value}


# -- metrics ---------------------------------------------------------------------------------


def record(recorder: Recorder) -> None:
    """Use every measure that is recorded, with valid labels."""
    for measure in catalogue.EVERY:
        if isinstance(measure, catalogue.Measure) and measure.watched:
            continue
        if isinstance(measure, metric_kinds.Counter):
            recorder.count(measure, 2.0, **dict.fromkeys(measure.labels, "x"))
            recorder.count(measure, 1.0, **dict.fromkeys(measure.labels, "x"))
        elif isinstance(measure, metric_kinds.Histogram):
            recorder.observe(measure, 0.3, **dict.fromkeys(measure.labels, "x"))


@pytest.fixture(params=[FakeRecorder, Metrics], ids=["fake", "prometheus"])
def recorder(request: pytest.FixtureRequest) -> Recorder:
    made: Recorder = request.param()
    return made


def test_every_measure_can_be_recorded_from_many_threads(recorder: Recorder) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(record, recorder) for _ in range(50)]:
            done.result()
    if isinstance(recorder, Metrics):
        assert recorder.registry.get_sample_value("corti_token_hits_total", {"layer": "x"}) == 150
    elif isinstance(recorder, FakeRecorder):
        assert recorder.total(catalogue.TOKEN_HITS, layer="x") == 150


@pytest.mark.parametrize("labels", [{}, {"layer": "a", "more": "b"}, {"other": "a"}])
def test_wrong_labels_are_refused(recorder: Recorder, labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="label"):
        recorder.count(catalogue.TOKEN_HITS, 1.0, **labels)


def test_the_metrics_page_parses_and_holds_every_measure(metered: Checked) -> None:
    record(metered.metrics)
    for gauge in GAUGES:
        metered.metrics.watch(gauge, partial(level, gauge, 7.0))
    for total in (catalogue.AUDIO_BYTES, catalogue.AUDIO_SECONDS):
        metered.metrics.watch_total(total, lambda: 3.0)
    lateness = catalogue.PACING_LATENESS
    metered.metrics.watch_distribution(lateness, lambda: ([1] * (len(lateness.buckets) + 1), 0.5))
    status, kind, text = metered.get("/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for measure in catalogue.EVERY:
        if isinstance(measure, metric_kinds.Info):
            continue
        family = families[measure.name.removesuffix("_total")]
        assert family.documentation == measure.help
        if isinstance(measure, metric_kinds.Counter):
            # Every other series whose labels are known beforehand is there, with 0.
            values = [
                sample.value for sample in family.samples if sample.name == measure.name and sample.value
            ]
            assert values == [3.0]
        elif isinstance(measure, metric_kinds.Histogram):
            bounds = [float(s.labels["le"]) for s in family.samples if s.name.endswith("_bucket")]
            assert bounds == [*measure.buckets, float("inf")]
        else:
            assert [sample.value for sample in family.samples] == [7.0]
    assert families["corti_worker_build_info"].samples[0].labels == {"version": __version__}


def test_openmetrics_is_given_on_request_and_shows_traces_as_exemplars(metered: Checked) -> None:
    with trace.within(TRACEPARENT):
        record(metered.metrics)
    metered.metrics.observe(catalogue.JOB_SECONDS, 3000.0)
    status, kind, text = metered.get(
        "/metrics", accept="application/openmetrics-text; version=1.0.0,*/*;q=0.1"
    )
    assert status == 200
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    parse: Any = openmetrics
    samples = [sample for family in parse(text) for sample in family.samples]
    shown = {sample.name for sample in samples if sample.exemplar}
    marked = {one for one in catalogue.EVERY if isinstance(one, catalogue.Measure) and one.exemplar}
    assert shown == {
        one.name if isinstance(one, metric_kinds.Counter) else f"{one.name}_bucket" for one in marked
    }
    assert all(
        sample.exemplar.labels == {"trace_id": TRACEPARENT[3:35]} for sample in samples if sample.exemplar
    )
    assert TRACEPARENT[3:35] not in metered.get("/metrics")[2]


def test_a_gauge_without_a_value_has_no_sample(metered: Checked) -> None:
    metered.metrics.watch(catalogue.OUTBOX_AGE, lambda: None)
    metered.metrics.watch(catalogue.QUEUE_DEPTH, lambda: {("corti.work", "running"): 3.0})
    lines = metered.get("/metrics")[2].splitlines()
    assert not [line for line in lines if line.startswith("corti_outbox_age_seconds")]
    assert 'corti_queue_depth{queue="corti.work",state="running"} 3.0' in lines
    with pytest.raises(ValueError, match="watched"):
        metered.metrics.watch(catalogue.QUEUE_DEPTH, dict)


def test_a_scrape_costs_the_same_however_much_is_going_on(metered: Checked) -> None:
    """The page does not grow with jobs or streams, and each gauge's function is called once."""
    asked = Counter[str]()

    def ask(gauge: metric_kinds.Gauge) -> Levels:
        asked[gauge.name] += 1
        return level(gauge, 1.0)

    for gauge in GAUGES:
        metered.metrics.watch(gauge, partial(ask, gauge))
    record(metered.metrics)
    few = metered.get("/metrics")[2].splitlines()
    asked.clear()
    for number in range(4000):
        with trace.within(f"00-{number:032x}-{number:016x}-01"):
            record(metered.metrics)
    many = metered.get("/metrics")[2].splitlines()
    assert len(many) == len(few)
    assert len(many) < 1000
    assert asked == Counter({gauge.name: 1 for gauge in GAUGES})


@pytest.mark.parametrize("measure", catalogue.EVERY, ids=lambda measure: measure.name)
def test_names_follow_the_conventions(
    measure: metric_kinds.Counter | metric_kinds.Histogram | metric_kinds.Gauge | metric_kinds.Info,
) -> None:
    assert re.fullmatch(r"corti_[a-z_]+", measure.name)
    assert measure.help.endswith(".")
    assert measure.name.endswith("_total") is isinstance(measure, metric_kinds.Counter)
    if isinstance(measure, metric_kinds.Histogram):
        assert measure.name.endswith("_seconds")
        assert list(measure.buckets) == sorted(set(measure.buckets))


def test_a_gauge_is_asked_at_each_scrape(metered: Checked) -> None:
    level = [1.0]
    metered.metrics.watch(catalogue.SLOTS, lambda: level[0])
    assert "corti_slots 1.0" in metered.get("/metrics")[2]
    level[0] = 2.0
    eventually(lambda: "corti_slots 2.0" in metered.get("/metrics")[2])
