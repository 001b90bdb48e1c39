"""`ops/bench scrape`, `telemetry`, `hold`: their arithmetic, and what a worker without telemetry lacks."""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from ops.benchmarks import scrape, telemetry
from ops.benchmarks.figures import growth
from ops.benchmarks.fleet import patience
from ops.benchmarks.streams import Load
from ops.benchmarks.subjects import without_telemetry
from worker.clock import SystemClock
from worker.telemetry.health import HealthServer
from worker.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
SILENCED = """
import structlog
from ops.benchmarks.subjects import without_telemetry
without_telemetry.take_out()
from worker.telemetry import log
log.configure("DEBUG", "json")
log.guard()
lines = structlog.get_logger("worker.any")
lines.info("health_serving", host="127.0.0.1", port=4711)
lines.info("job_completed")
lines.error("attempt_broke", error="KeyError")
import logging
logging.getLogger("kombu").critical("lost")
"""


@contextmanager
def health(metrics: Metrics) -> Iterator[int]:
    with HealthServer("127.0.0.1", 0, SystemClock(), {}, {}, metrics.page) as server:
        yield server.port


def test_a_scrape_is_timed_to_the_last_byte_in_either_format() -> None:
    metrics = Metrics()
    with health(metrics) as port:
        for accept in filter(None, scrape.PHASES.values()):
            found = scrape.read(port, accept)
            # Not exactly equal: the process's own figures change, and with them their number of digits.
            assert found.size == pytest.approx(len(metrics.page(accept)[1]), rel=0.01)
            assert 0 < found.ms < 5000


def test_a_scrape_that_answers_something_else_is_no_figure() -> None:
    with health(Metrics()) as port, pytest.raises(click.ClickException, match="200 with text/plain"):
        scrape.read(port, "application/json")


def test_scrapes_come_once_a_second_at_varying_fractions_of_it() -> None:
    moments = scrape.moments(20)

    assert [int(moment) for moment in moments] == list(range(20))
    tenths = {int(moment % 1 * 10) for moment in moments}
    assert tenths == set(range(10))


def test_the_figures_of_a_phase_are_those_of_its_scrapes() -> None:
    found = scrape.summary([scrape.Scrape(float(ms), 100 + ms) for ms in (5, 3, 40)])

    assert (found["ms_p50"], found["ms_p99"], found["ms_max"]) == (5.0, 40.0, 40.0)
    assert (found["scrapes"], found["bytes"]) == (3, 140)
    assert scrape.summary([]) == {}


def test_all_are_measured_in_each_round_and_take_turns_in_coming_first() -> None:
    turns = telemetry.turns(3)

    assert [number for number, _ in turns] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    everybody = {telemetry.WORKER, telemetry.WITHOUT, telemetry.AGAIN}
    assert all({name for _, name in turns[first : first + 3]} == everybody for first in (0, 3, 6))
    assert {turns[first][1] for first in (0, 3, 6)} == everybody


def test_audio_lasts_until_the_measurement_is_over_however_slowly_streams_come_up() -> None:
    for streams in (1, 4000):
        load = Load(streams, 15.0)
        assert load.audio_seconds > patience(streams) + load.seconds + 3
    assert patience(4000) > 300, "opening 4,000 streams takes 100 s even on an idle machine"


def test_growth_leaves_the_start_out_and_is_given_per_hour_and_per_job() -> None:
    # Memory grows by 50 MB in the first minute and by 1 MB in each further one; each has 100 results.
    rows = [
        {"seconds": 60.0 * minute, "results": 100 * minute, "rss": 50.0 * (minute > 0) + minute}
        for minute in range(10)
    ]

    found = growth(rows, "rss", 60.0)

    assert found == {
        "minutes": 8.0,
        "first": 51.0,
        "last": 59.0,
        "per_hour": pytest.approx(60.0),
        "per_thousand": pytest.approx(10.0),
    }
    assert growth(rows, "rss", 540.0) is None
    assert growth([], "rss", 0.0) is None


def test_growth_without_results_is_given_per_hour_only() -> None:
    rows = [{"seconds": at, "results": 0, "rss": 1.0} for at in (10.0, 20.0)]

    found = growth(rows, "rss", 0.0)

    assert found is not None
    assert (found["per_hour"], found["per_thousand"]) == (0.0, None)


def test_every_part_of_telemetry_that_is_replaced_exists() -> None:
    for place, name, nothing in without_telemetry.REPLACED:
        assert hasattr(place, name), (
            f"{place}.{name} is gone: the bench would measure telemetry against itself"
        )
        assert getattr(place, name) is not nothing


def test_no_metrics_has_the_methods_of_metrics() -> None:
    theirs = {name for name, _ in inspect.getmembers(Metrics, inspect.isfunction) if name[0] != "_"}
    ours = {name for name, _ in inspect.getmembers(without_telemetry.NoMetrics, inspect.isfunction)}

    # Only tests and demos call `render`.
    assert theirs - ours <= {"render"}


def test_a_silenced_process_says_where_its_health_server_is_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SILENCED], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    assert json.loads(done.stdout) == {"event": "health_serving", "host": "127.0.0.1", "port": 4711}
    assert done.stderr == ""
