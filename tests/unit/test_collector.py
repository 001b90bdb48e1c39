"""When the cycle collector looks at everything."""

import gc

from worker.collector import PATIENCE, Collector


def test_a_quiet_moment_is_used_and_a_busy_one_is_not() -> None:
    busy = [True]
    collector = Collector(lambda: busy[0])
    assert not collector.turn()
    busy[0] = False
    assert collector.turn()


def test_what_is_put_off_is_not_put_off_for_ever() -> None:
    collector = Collector(lambda: True)
    turns = [collector.turn() for _ in range(2 * PATIENCE)]
    assert [number for number, collected in enumerate(turns, 1) if collected] == [PATIENCE, 2 * PATIENCE]


def test_pythons_own_full_look_is_off_while_a_worker_runs() -> None:
    before = gc.get_threshold()
    with Collector(lambda: True):
        assert gc.get_threshold()[2] > 1_000_000
        assert gc.isenabled()
    assert gc.get_threshold() == before
