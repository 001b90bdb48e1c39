"""The replay of recorded faults repeats steady states correctly, and the committed rules fire on it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ops.lib import prometheus_server
from tests.conftest import require
from tests.system.alerts.recording import Page, Recording, parse
from tests.system.alerts.replay import EVALUATION, STEP, Replay, Stretch, notation
from tests.system.alerts.rules import RULES

#: Ten seconds of health, then ten of a fault; the last six of each are repeated for ten minutes.
HEALTH, FAULT = Stretch(0, 10, 6, 600), Stretch(10, 20, 6, 600)


def recorded(counter: Sequence[float], gauge: Sequence[float | None]) -> Recording:
    """A recording of one counter and one gauge, with a page each second."""
    pages: list[Page] = [
        {"c": count, **({} if level is None else {"g": level})}
        for count, level in zip(counter, gauge, strict=True)
    ]
    return Recording([[(float(second), page) for second, page in enumerate(pages)]], {"g"})


def test_a_page_is_read_with_its_kinds_and_its_process() -> None:
    text = (
        "# HELP a_total A counter.\n# TYPE a_total counter\n"
        'a_total{reason="x"} 3.0\n# TYPE b gauge\nb 1.5\n# TYPE other gauge\nother 1\n'
    )
    page, gauges = parse(text, {"a_total", "b"}, "one")
    assert page == {'a_total{pod="one",reason="x"}': 3.0, 'b{pod="one",}': 1.5}
    assert gauges == {'b{pod="one",}'}


def test_counters_go_on_growing_as_they_grew_and_never_fall() -> None:
    counter = [float(second) for second in range(10)] + [10.0 + 3 * second for second in range(11)]
    samples = Replay(recorded(counter, [0.0] * 21), [HEALTH, FAULT]).samples("c")
    known = [value for value in samples if value is not None]
    assert known == sorted(known)
    assert known[600 // STEP] == pytest.approx(600, abs=5)
    # The counter grows by 1 in each second of health, and by 3 in each second of the fault.
    assert known[-1] == pytest.approx(610 + 3 * 610, abs=40)


def test_gauges_repeat_their_values_and_one_that_rose_goes_on_rising() -> None:
    busy = [float(second // 3 % 2) for second in range(21)]
    samples = Replay(recorded([0.0] * 21, busy), [HEALTH, FAULT]).samples("g")
    assert set(samples) == {0.0, 1.0}
    age = [0.0] * 10 + [5.0 * (second // 5) for second in range(11)]
    samples = Replay(recorded([0.0] * 21, age), [HEALTH, FAULT]).samples("g")
    assert set(samples[: 610 // STEP]) == {0.0}
    assert samples[-1] == pytest.approx(610, abs=15)


def test_a_gauge_that_went_up_once_does_not_go_on_rising() -> None:
    samples = Replay(recorded([0.0] * 21, [0.0] * 18 + [1.0] * 3), [HEALTH, FAULT]).samples("g")
    assert set(samples) == {0.0, 1.0}


def test_a_series_that_ends_is_marked_and_one_that_comes_later_is_not_there_before() -> None:
    gone: list[float | None] = [*([1.0] * 10), *([None] * 11)]
    assert notation(Replay(recorded([0.0] * 21, gone), [HEALTH, FAULT]).samples("g")).startswith("1x")
    assert notation([None, None, 1.0, 1.0, 2.5, None, None, None, 4.0]) == "_x2 1x1 2.5 stale _x2 4"
    assert notation([None, None]) == ""


def down(recording: Recording) -> Recording:
    """Add to a recording a check that passes at first and fails from second 11 on."""
    series = {
        'corti_check_ok{pod="a",check="redis"}': 1.0,
        'corti_worker_build_info{pod="a",version="1"}': 1.0,
    }
    for second, page in recording.pages[0]:
        page.update(series)
        if second > 10:
            page['corti_check_ok{pod="a",check="redis"}'] = 0.0
    recording.gauges |= series.keys()
    return recording


def test_the_committed_rules_fire_on_a_replayed_fault(tmp_path: Path) -> None:
    require(*prometheus_server.available())
    replay = Replay(down(recorded([0.0] * 21, [0.0] * 21)), [HEALTH, FAULT])
    fired = replay.fired(tmp_path)
    assert fired.keys() == {"CortiDependencyDown"}
    began = replay.begin_of(1)
    assert began == 610
    assert 60 <= fired["CortiDependencyDown"].first - began <= 60 + 2 * EVALUATION
    assert fired["CortiDependencyDown"].last >= replay.length - EVALUATION


def test_a_rule_that_is_too_slow_is_noticed(tmp_path: Path) -> None:
    require(*prometheus_server.available())
    slow = tmp_path / "slow.yaml"
    slow.write_text(RULES.read_text().replace("for: 1m\n", "for: 20m\n"))
    replay = Replay(down(recorded([0.0] * 21, [0.0] * 21)), [HEALTH, FAULT])
    assert replay.fired(tmp_path, slow) == {}


def test_a_file_that_promtool_cannot_read_is_an_error(tmp_path: Path) -> None:
    require(*prometheus_server.available())
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("groups: nonsense")
    with pytest.raises(RuntimeError, match="promtool said"):
        Replay(recorded([0.0] * 21, [0.0] * 21), [HEALTH]).fired(tmp_path, wrong)
