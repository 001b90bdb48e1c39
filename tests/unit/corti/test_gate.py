"""The gate: how many steps of other threads may pass while audio is running, and when."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from worker.corti.stream.gate import LATE_SECONDS, STEP_SECONDS, AdmissionGate


@contextmanager
def steps(gate: AdmissionGate, count: int) -> Iterator[threading.Semaphore]:
    """Start so many threads that want to pass; the semaphore counts those that have."""
    passed = threading.Semaphore(0)

    def step() -> None:
        gate.give_way()
        passed.release()

    threads = [threading.Thread(target=step, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    yield passed
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def passed_in_time(passed: threading.Semaphore, count: int) -> bool:
    return all(passed.acquire(timeout=5) for _ in range(count))


def wait_for(gate: AdmissionGate, waiting: int) -> None:
    while len(gate._waiting) < waiting:
        threading.Event().wait(0.001)


def test_while_nothing_streams_every_step_passes() -> None:
    gate = AdmissionGate()
    for _ in range(100):
        gate.give_way()
    assert not gate.wanted


def test_a_turn_lets_as_many_pass_as_its_time_allows() -> None:
    gate = AdmissionGate(patience=60)
    gate.turned(10, 0.0, 0.0)  # each turn lets at least one pass
    gate.give_way()
    with steps(gate, 5) as passed:
        wait_for(gate, 5)
        gate.turned(10, 0.0, 3.5 * STEP_SECONDS)
        assert passed_in_time(passed, 3)
        assert not passed.acquire(timeout=0.05)
        assert gate.wanted
        gate.turned(10, 0.0, 2 * STEP_SECONDS)
        assert passed_in_time(passed, 2)
    assert not gate.wanted


def test_unused_places_of_several_turns_do_not_add_up() -> None:
    gate = AdmissionGate(patience=60)
    for _ in range(10):
        gate.turned(10, 0.0, 2 * STEP_SECONDS)
    with steps(gate, 3) as passed:
        assert passed_in_time(passed, 2)
        assert not passed.acquire(timeout=0.05)
        gate.turned(10, 0.0, 0.0)


def test_no_step_passes_while_audio_is_late() -> None:
    gate = AdmissionGate(patience=60)
    gate.turned(10, 2 * LATE_SECONDS, 1.0)
    with steps(gate, 1) as passed:
        wait_for(gate, 1)
        gate.turned(10, 2 * LATE_SECONDS, 1.0)
        assert not passed.acquire(timeout=0.05)
        gate.turned(10, LATE_SECONDS, 0.0)
        assert passed_in_time(passed, 1)


def test_an_overload_slows_steps_down_and_does_not_stop_them() -> None:
    gate = AdmissionGate(patience=0.02)
    gate.turned(10, 2 * LATE_SECONDS, 0.0)
    with steps(gate, 3) as passed:
        assert passed_in_time(passed, 3)
    assert not gate.wanted


def test_the_pacer_is_told_when_a_step_begins_to_wait() -> None:
    gate, told = AdmissionGate(patience=0.01), threading.Event()
    gate.guard(told.set)
    gate.turned(1, 0.0, 0.0)
    gate.give_way()
    assert not told.is_set()
    gate.give_way()
    assert told.is_set()


def test_when_the_last_stream_ends_all_waiting_steps_pass() -> None:
    gate = AdmissionGate(patience=60)
    gate.turned(1, 2 * LATE_SECONDS, 0.0)
    with steps(gate, 20) as passed:
        wait_for(gate, 20)
        gate.turned(0, 0.0, 0.0)
        assert passed_in_time(passed, 20)
