"""Health and metrics as a probe and as Prometheus see them: over HTTP."""

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.fakes import FakeClock, FakeRecorder
from tests.contract.waiting import eventually
from tests.unit import fakes as story
from worker import __version__, measures
from worker.health import Check, HealthServer, Pulse
from worker.metrics import Metrics
from worker.ports import Recorder

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Checked:
    """A health server with checks that a test can change."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.live: dict[str, Check] = {}
        self.ready: dict[str, Check] = {}
        self.server = HealthServer("127.0.0.1", 0, self.live, self.ready, self.metrics.render)

    def get(self, path: str, method: str = "GET") -> tuple[int, str, str]:
        """Status, content type, text."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.server.port}{path}", method=method)
        try:
            with _OPENER.open(request, timeout=5) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.fixture(scope="module")
def shared_checked() -> Iterator[Checked]:
    """One server for all tests: it takes half a second to stop."""
    made = Checked()
    with made.server:
        yield made


@pytest.fixture
def checked(shared_checked: Checked) -> Checked:
    """The server without checks."""
    shared_checked.live.clear()
    shared_checked.ready.clear()
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
    assert checked.get(other)[0] == 200, "readiness must not restart a pod, nor the other way"
    mine["broker"] = lambda: None
    assert checked.get(path + "?verbose")[0] == 200


@pytest.mark.parametrize("path", ["/", "/nothing", "/metrics/", "/livez/.."])
def test_any_other_page_is_not_there(checked: Checked, path: str) -> None:
    assert checked.get(path)[0] == 404


def test_a_probe_that_dawdles_does_not_hold_up_the_others(checked: Checked) -> None:
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
        HealthServer("127.0.0.1", checked.server.port, {}, {}, bytes)


def test_a_loop_that_stops_turning_is_noticed_and_one_off_duty_is_not(clock: FakeClock) -> None:
    pulse = Pulse(clock, 30)
    assert (pulse.check(), pulse.beating) == (None, False)
    pulse.beat()
    clock.wait(30)
    assert (pulse.check(), pulse.beating) == (None, True)
    clock.wait(1)
    assert pulse.check()
    pulse.beat()
    assert pulse.check() is None
    clock.wait(10)
    pulse.rest()
    clock.wait(1000)
    assert (pulse.check(), pulse.beating) == (None, False)


# -- metrics ---------------------------------------------------------------------------------


def record(recorder: Recorder) -> None:
    """Use every measure, as its labels ask."""
    for measure in measures.EVERY:
        if isinstance(measure, measures.Counter):
            recorder.count(measure, 2.0, **dict.fromkeys(measure.labels, "x"))
            recorder.count(measure, 1.0, **dict.fromkeys(measure.labels, "x"))
        elif isinstance(measure, measures.Histogram):
            recorder.observe(measure, 0.3, **dict.fromkeys(measure.labels, "x"))


@pytest.fixture(params=[FakeRecorder, story.FakeRecorder, Metrics], ids=["fake", "story", "prometheus"])
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
        assert recorder.total(measures.TOKEN_HITS, layer="x") == 150


@pytest.mark.parametrize("labels", [{}, {"layer": "a", "more": "b"}, {"other": "a"}])
def test_wrong_labels_are_refused(recorder: Recorder, labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="label"):
        recorder.count(measures.TOKEN_HITS, 1.0, **labels)


def test_the_metrics_page_parses_and_holds_every_measure(metered: Checked) -> None:
    record(metered.metrics)
    for gauge in (measures.SLOTS, measures.JOBS_RUNNING, measures.STREAMS_OPEN):
        metered.metrics.watch(gauge, lambda: 7.0)
    status, kind, text = metered.get("/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for measure in measures.EVERY:
        family = families[measure.name.removesuffix("_total")]
        assert family.documentation == measure.help
        if isinstance(measure, measures.Counter):
            assert [sample.value for sample in family.samples if sample.name == measure.name] == [3.0]
        elif isinstance(measure, measures.Histogram):
            bounds = [float(s.labels["le"]) for s in family.samples if s.name.endswith("_bucket")]
            assert bounds == [*measure.buckets, float("inf")]
        else:
            assert [sample.value for sample in family.samples] == [7.0]
    assert families["corti_worker_build_info"].samples[0].labels == {"version": __version__}


def test_every_gauge_is_known_to_this_suite() -> None:
    gauges = {measure for measure in measures.EVERY if isinstance(measure, measures.Gauge)}
    assert gauges == {measures.SLOTS, measures.JOBS_RUNNING, measures.STREAMS_OPEN}


@pytest.mark.parametrize("measure", measures.EVERY, ids=lambda measure: measure.name)
def test_names_follow_the_conventions(
    measure: measures.Counter | measures.Histogram | measures.Gauge,
) -> None:
    assert re.fullmatch(r"corti_[a-z_]+", measure.name)
    assert measure.help.endswith(".")
    assert measure.name.endswith("_total") is isinstance(measure, measures.Counter)
    if isinstance(measure, measures.Histogram):
        assert measure.name.endswith("_seconds")
        assert list(measure.buckets) == sorted(set(measure.buckets))


def test_a_gauge_is_asked_at_each_scrape(metered: Checked) -> None:
    level = [1.0]
    metered.metrics.watch(measures.SLOTS, lambda: level[0])
    assert "corti_slots 1.0" in metered.get("/metrics")[2]
    level[0] = 2.0
    eventually(lambda: "corti_slots 2.0" in metered.get("/metrics")[2])
