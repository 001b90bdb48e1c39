"""`ops/bench scale`: the arithmetic of KEDA and the HPA, and the simulation of a day of consultations."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ops.benchmarks.autoscaler import Autoscaler, Direction, Policy
from ops.benchmarks.cluster import Cluster, Consultation
from ops.benchmarks.scale import Way, a_day, chart, main, recorded, simulate, ways

AT_ONCE = Direction(0.0, 100, 15.0)
PLAIN = Policy(target=10, least=1, most=20, up=AT_ONCE, down=AT_ONCE)
WAYS = {way.name: way for way in ways()}
SLOTS = chart()[1]["slots"]


def test_replicas_are_the_load_over_the_target_rounded_up_within_their_bounds() -> None:
    for load, replicas in ((0, 1), (10, 1), (12, 2), (95, 10), (1000, 20)):
        assert Autoscaler(PLAIN).decide(0, load, 5) == replicas


def test_a_load_near_the_target_changes_nothing() -> None:
    assert Autoscaler(PLAIN).decide(0, 54, 5) == 5
    assert Autoscaler(PLAIN).decide(0, 46, 5) == 5
    assert Autoscaler(PLAIN).decide(0, 56, 5) == 6


def test_going_down_waits_until_the_highest_recent_demand_is_old() -> None:
    scaler = Autoscaler(replace(PLAIN, down=Direction(300.0, 100, 15.0)))
    assert scaler.decide(0, 100, 10) == 10
    assert scaler.decide(290, 10, 10) == 10
    assert scaler.decide(310, 10, 10) == 1


def test_going_down_takes_one_in_a_period_and_going_up_some() -> None:
    scaler = Autoscaler(replace(PLAIN, up=Direction(0.0, 4, 60.0), down=Direction(0.0, 1, 600.0)))
    replicas, seen = 2, []
    for now in range(0, 120, 15):
        replicas = scaler.decide(now, 150, replicas)
        seen.append(replicas)
    assert seen == [6, 6, 6, 6, 10, 10, 10, 10]
    seen = []
    for now in range(1000, 2300, 300):
        replicas = scaler.decide(now, 10, replicas)
        seen.append(replicas)
    assert seen == [9, 9, 8, 8, 7]


def test_a_worker_that_is_taken_away_ends_what_it_can_and_hands_back_the_rest() -> None:
    # All sixty want six workers; when the forty short ones have ended, the twenty long ones want two.
    load = [Consultation(0.0, 3000.0 + number) for number in range(20)]
    load += [Consultation(0.0, 60.0 + number) for number in range(40)]
    policy = replace(PLAIN, target=10, most=6)

    def cut(grace: float) -> int:
        return Cluster(Autoscaler(policy), slots=10, grace=grace).run(load).cut

    assert cut(3600.0) == 0
    assert cut(300.0) > 0


def test_with_the_charts_numbers_no_consultation_is_cut_and_replicas_follow_the_load() -> None:
    day = simulate(WAYS["the chart"], a_day(), SLOTS)
    replicas = [line[3] for line in day.line]
    assert day.cut == 0
    assert day.turns() == 5, "replicas do not follow the day's three peaks"
    assert (min(replicas), max(replicas)) == (2, 10)
    assert day.wait(0.9) < 60
    assert day.waits
    assert len(day.waits) == len(a_day())


def test_replicas_follow_what_waits_and_runs() -> None:
    policy, _ = chart()
    day = simulate(WAYS["the chart"], a_day(), SLOTS)
    enough = [at for at, waiting, running, replicas in day.line if replicas * SLOTS >= waiting + running]
    assert len(enough) / len(day.line) > 0.99
    assert [line for line in day.line if line[3] < policy.least] == []


@pytest.mark.parametrize("name", ["the chart, 60 s of grace", "HPA's usual speed, 60 s of grace"])
def test_without_the_grace_period_consultations_are_cut(name: str) -> None:
    assert simulate(WAYS[name], a_day(), SLOTS).cut > 100


def test_scaling_by_waiting_jobs_alone_flaps_and_cuts_consultations() -> None:
    careless = simulate(WAYS["only what waits is counted"], a_day()[:6000], SLOTS)
    assert careless.turns() > 20
    assert careless.cut > 1000


@pytest.mark.parametrize("way", ways(), ids=lambda way: way.name)
def test_every_consultation_starts_with_each_way_of_scaling(way: Way) -> None:
    load = a_day()[:3000]
    assert len(simulate(way, load, SLOTS).waits) == len(load)


def test_a_recorded_load_can_be_given_and_a_picture_comes_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "load.csv").write_text("arrived,seconds\n1700000100,60\n1700000000,7500\n")
    assert recorded(tmp_path / "load.csv") == [Consultation(0.0, 7500.0), Consultation(100.0, 60.0)]
    picture = tmp_path / "scale.svg"
    assert main(["--load", str(tmp_path / "load.csv"), "--picture", str(picture)]) == 0
    assert "2 consultations" in capsys.readouterr().out
    assert ET.fromstring(picture.read_text()).tag.endswith("svg")  # noqa: S314  # our own


def test_the_committed_picture_is_that_of_the_charts_numbers(tmp_path: Path) -> None:
    main(["--picture", str(tmp_path / "scale.svg")])
    committed = Path(__file__).resolve().parents[2] / "ops/benchmarks/scale.svg"
    assert committed.read_text() == (tmp_path / "scale.svg").read_text(), "run `ops/bench scale`"
