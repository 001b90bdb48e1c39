"""The ingress as a door sees it: the fake of the doors' tests and the real one, by the same tests."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.fakes import EPOCH, FakeIngress
from tests.unit.examples import body
from tests.unit.jobs.test_ingress import Doorway
from worker.broker.door import Takes
from worker.jobs.ingress_headers import IngressHeaders
from worker.jobs.ports import BrokerUnavailable

_EARLIER = EPOCH - timedelta(minutes=5)


@dataclass
class Bench:
    """An ingress, and what is behind it.

    Attributes:
        ingress: The port.
        kept: The messages that are safe.
        accepted: When each was accepted first; None where the ingress has the choice.
        set_away: Says whether the queue behind it is away.
    """

    ingress: Takes
    kept: Callable[[], list[bytes]]
    accepted: Callable[[], list[object]]
    set_away: Callable[[bool], None]


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "fake":
        fake = FakeIngress()

        def fake_away(away: bool) -> None:
            fake.up = not away

        return Bench(fake, lambda: fake.taken, lambda: [one.accepted_at for one in fake.known], fake_away)
    real = Doorway()

    def real_away(away: bool) -> None:
        real.work.away = away

    return Bench(real.ingress, lambda: real.work.bodies, lambda: list[object](real.work.accepted), real_away)


def test_a_message_is_safe_when_the_call_returns(bench: Bench) -> None:
    messages = [body(job_id=f"visit-{number}") for number in range(3)]
    for message in messages:
        bench.ingress.take(message)
    assert bench.kept() == messages


def test_while_the_queue_is_away_nothing_is_taken_and_the_door_is_told(bench: Bench) -> None:
    bench.set_away(True)
    with pytest.raises(BrokerUnavailable):
        bench.ingress.take(body())
    assert bench.kept() == []
    bench.set_away(False)
    bench.ingress.take(body())
    assert bench.kept() == [body()]


def test_a_message_that_was_accepted_before_keeps_its_time(bench: Bench) -> None:
    bench.ingress.take(body(), IngressHeaders(_EARLIER))
    assert bench.accepted() == [_EARLIER]
