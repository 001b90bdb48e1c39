"""The drain: it counts signals, lets jobs end that can, hands the others back, and ends the process."""

import signal
from collections.abc import Callable

import pytest

from tests.fakes import FakeClock
from worker.concurrency.interrupt import Interrupt, InterruptReason
from worker.process.drain import Drain, RunningJobs


class Exited(Exception):
    """Raised where the process would end."""


class Pause:
    """A wait that moves the clock, and then calls `then`."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.then: Callable[[], None] = lambda: None

    def wait(self, seconds: float) -> None:
        self._clock.advance(seconds)
        self.then()


class Bench:
    """A drain that runs in the test's own thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, grace: float, idle_exit: float = 0) -> None:
        self.clock, self.jobs, self.said = FakeClock(), RunningJobs(), list[str]()
        self.drain = Drain(
            grace=grace,
            jobs=self.jobs,
            clock=self.clock,
            stop_taking=lambda: self.said.append("stop taking"),
            stop_celery=lambda: self.said.append("stop celery"),
            idle_exit=idle_exit,
        )
        self.pause = Pause(self.clock)
        monkeypatch.setattr(self.drain, "_pause", self.pause)
        monkeypatch.setattr("os._exit", self._exit)

    def _exit(self, code: int) -> None:
        self.said.append(f"exit {code}")
        raise Exited

    def signal(self) -> None:
        self.drain.on_signal(signal.SIGTERM, None)

    def run(self) -> float:
        """Drain until the process would be ended by force; return how long that took."""
        began = self.clock.monotonic()
        with pytest.raises(Exited):
            self.drain.run()
        return self.clock.monotonic() - began


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch, grace=60.0)


def test_jobs_run_while_their_contexts_last() -> None:
    jobs = RunningJobs()
    with jobs.one() as first, jobs.one() as second:
        assert len(jobs) == 2
        assert set(jobs.all()) == {first, second}
    with pytest.raises(ZeroDivisionError), jobs.one():
        raise ZeroDivisionError
    assert (len(jobs), jobs.all()) == (0, [])


def test_a_signal_makes_the_worker_unready_and_is_counted(bench: Bench) -> None:
    assert (bench.drain.check(), bench.drain.draining) == (None, False)
    bench.signal()
    assert (bench.drain.check(), bench.drain.draining) == ("draining", True)
    bench.signal()
    assert bench.drain.signals == 2


def test_without_jobs_a_drain_ends_at_once_and_in_order(bench: Bench) -> None:
    bench.signal()
    seconds: list[float] = []
    began = bench.clock.monotonic()
    bench.drain._stop_celery = lambda: seconds.append(bench.clock.monotonic() - began)
    bench.run()
    assert seconds[0] < 1
    assert bench.said == ["stop taking", "exit 70"]


def drained(bench: Bench, remaining: Callable[[], float | None]) -> tuple[float | None, Interrupt]:
    """Drain a worker with one job of this remaining time; return when it was interrupted, and the job."""
    with bench.jobs.one() as job:
        job.expect(remaining)
        moment: list[float] = []
        began = bench.clock.monotonic()
        job.on_trigger(lambda: moment.append(bench.clock.monotonic() - began))
        bench.signal()
        bench.run()
    return (moment[0] if moment else None), job


@pytest.mark.parametrize("remaining", [None, 58.0, 3600.0])
def test_a_job_that_cannot_end_in_time_is_handed_back_at_once(bench: Bench, remaining: float | None) -> None:
    moment, job = drained(bench, lambda: remaining)
    assert (moment, job.reason) == (0.0, InterruptReason.DRAIN)


def test_a_job_that_can_end_in_time_may(bench: Bench) -> None:
    end = bench.clock.monotonic() + 50.0
    with bench.jobs.one() as job:
        job.expect(lambda: end - bench.clock.monotonic())

        def pass_by() -> None:
            if bench.clock.monotonic() >= end:
                bench.jobs._jobs.clear()

        bench.pause.then = pass_by
        bench.signal()
        bench.run()
    assert job.reason is None
    assert bench.said == ["stop taking", "stop celery", "exit 70"]


@pytest.mark.parametrize("looks", [1, 4, 30])
def test_a_job_that_the_broker_had_already_sent_is_handed_back(bench: Bench, looks: int) -> None:
    """Such a job begins when the worker seemed idle, or even while Celery stops, which then waits for it."""
    began = 0

    def begin_late() -> None:
        nonlocal began
        began += 1
        if began == looks:
            late = bench.jobs.one()
            job = late.__enter__()

            def end() -> None:
                seen.append(job.reason)
                late.__exit__(None, None, None)

            job.on_trigger(end)

    seen: list[InterruptReason | None] = []
    bench.pause.then = begin_late
    bench.signal()
    bench.run()
    assert seen == [InterruptReason.DRAIN]
    assert bench.said == ["stop taking", "stop celery", "exit 70"]


def test_celery_is_stopped_only_when_nothing_has_run_for_a_moment(bench: Bench) -> None:
    lasting, ran = bench.jobs.one(), list[int]()
    bench.drain._stop_celery = lambda: ran.append(len(bench.jobs))
    lasting.__enter__()

    def end() -> None:
        lasting.__exit__(None, None, None)

    bench.pause.then = end
    bench.signal()
    bench.run()
    assert ran == [0]


def test_a_job_that_falls_behind_is_handed_back_before_the_end(bench: Bench) -> None:
    moment, job = drained(bench, lambda: 20.0)
    assert job.reason is InterruptReason.DRAIN
    assert moment == pytest.approx(60.0 - 1.0 - 1.5 - 20.0, abs=0.2)


def test_a_second_signal_hands_everything_back_at_once(bench: Bench) -> None:
    bench.signal()
    moment, job = drained(bench, lambda: 5.0)
    assert (moment, job.reason) == (0.0, InterruptReason.DRAIN)


def test_the_process_ends_with_the_grace_period_even_if_something_hangs(bench: Bench) -> None:
    bench.signal()
    with bench.jobs.one():
        assert 60.0 <= bench.run() <= 61.5
    assert bench.said == ["stop taking", "stop celery", "exit 70"]


def test_nothing_is_stopped_before_a_signal(bench: Bench) -> None:
    looks: list[float] = []

    def look() -> None:
        looks.append(bench.clock.monotonic())
        assert bench.said == [] or bench.drain.draining
        if len(looks) == 5:
            bench.signal()

    bench.pause.then = look
    bench.run()
    assert bench.said == ["stop taking", "stop celery", "exit 70"]


def test_a_worker_that_is_to_end_when_idle_ends_that_long_after_its_last_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch, grace=60.0, idle_exit=30.0)
    job = bench.jobs.one()
    job.__enter__()
    last: list[float] = []

    def end_after_100_seconds() -> None:
        if not last and bench.clock.monotonic() - began >= 100:
            job.__exit__(None, None, None)
            last.append(bench.clock.monotonic())

    bench.pause.then = end_after_100_seconds
    stopped: list[float] = []
    bench.drain._stop_taking = lambda: stopped.append(bench.clock.monotonic())
    began = bench.clock.monotonic()

    bench.run()

    assert bench.drain.draining
    assert stopped[0] - last[0] == pytest.approx(30, abs=0.2)
    assert bench.said == ["stop celery", "exit 70"]


def test_a_worker_that_is_not_to_end_when_idle_waits_for_a_signal(bench: Bench) -> None:
    began = bench.clock.monotonic()

    def signal_after_an_hour() -> None:
        if bench.clock.monotonic() - began >= 3600:
            bench.signal()

    bench.pause.then = signal_after_an_hour
    assert bench.run() >= 3600


def test_the_rest_of_the_grace_period_can_be_asked(bench: Bench) -> None:
    assert bench.drain.left() is None
    left: list[float | None] = []
    bench.pause.then = lambda: left.append(bench.drain.left())
    bench.signal()
    with bench.jobs.one():
        bench.run()
    assert left[0] == pytest.approx(59.9)
    assert left[-1] == 0.0
    assert left == sorted(left, key=lambda seconds: -(seconds or 0.0))
