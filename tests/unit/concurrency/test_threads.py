"""Every thread of the worker: if an error of ours ends it, `/livez` shows that."""

from collections.abc import Callable
from typing import Never

import pytest

from tests.fakes import FakeClock, FakeRecorder
from worker.concurrency.background import BackgroundThread
from worker.concurrency.collector import Collector
from worker.concurrency.heartbeat import Heartbeat
from worker.concurrency.offload import OffloadExecutor
from worker.corti.stream.feed import Feeder
from worker.corti.stream.gate import AdmissionGate
from worker.corti.stream.pacer import Pacer
from worker.process.drain import Drain, RunningJobs
from worker.process.observer import Observer
from worker.store.ledger.lease_renewer import LeaseRenewer

PATIENCE = 10.0
ENDED = "its thread ended by ZeroDivisionError"


def broken(*_: object, **__: object) -> Never:
    raise ZeroDivisionError("a fault that no test had found")


class Broken:
    """An object each of whose attributes raises."""

    lease_ms = 3

    def __getattr__(self, name: str) -> Callable[..., Never]:
        return broken


def ended(thread: BackgroundThread) -> str | None:
    """What `/livez` says when the thread has ended."""
    assert thread.join(PATIENCE)
    return thread.heartbeat.check()


def test_the_pacer() -> None:
    clock = FakeClock()
    pacer = Pacer(clock, Heartbeat(clock), AdmissionGate())
    with pacer:
        pacer.attend(Broken())  # type: ignore[arg-type]
        pacer._inbox.append(Broken())  # type: ignore[arg-type]
        assert str(ended(pacer._thread)).startswith("its thread ended by")
        pacer._inbox.clear()
        pacer._open.clear()


def test_the_feeder() -> None:
    with Feeder(Heartbeat(FakeClock())) as feeder:
        feeder.low(Broken(), dry=True)  # type: ignore[arg-type]
        assert ended(feeder._thread) == ENDED


def test_the_renewal_of_claims() -> None:
    lease_renewer = LeaseRenewer(Broken(), FakeRecorder(), FakeClock())  # type: ignore[arg-type]
    lease_renewer.start()
    assert ended(lease_renewer._thread._thread) == ENDED


def test_the_observer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.process.observer.LOOK_SECONDS", 0.001)
    anything = Broken()
    observer = Observer(anything, anything, broken, broken, "corti.work", FakeClock())  # type: ignore[arg-type]
    observer.start()
    assert ended(observer._thread._thread) == ENDED


def test_the_schedule_of_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.concurrency.collector.PERIOD", 0.001)
    with Collector(broken, FakeClock()) as collector:
        assert ended(collector._thread._thread) == ENDED


def test_the_drain() -> None:
    drain = Drain(
        grace=1, jobs=RunningJobs(), clock=FakeClock(), stop_taking=broken, stop_celery=lambda: None
    )
    drain.start()
    drain.on_signal(15, None)
    assert ended(drain._thread) == ENDED


def test_an_offload_thread() -> None:
    with OffloadExecutor("offload", 2, lambda: None) as offload:
        assert offload.call(lambda: 1) == 1
        assert offload.check() is None
        offload._executor.shutdown()
        assert offload.check() == "one of its threads has ended"
    assert offload.check() is None, "the process must stop all the same"
