"""Live events: each run of a job has events with ids of its own, after a `started` event."""

import pytest

from tests.unit.examples import body
from tests.unit.jobs.test_runner import CUT, LIVE, speaking
from tests.unit.jobs.world import World
from worker.concurrency.interrupt import InterruptReason
from worker.contract.errors import Reason, TransientError
from worker.contract.events import STARTED, Started


def live_ids(world: World) -> list[str]:
    """Ids of all events, without the job's id and with letters in place of the claims' fences."""
    fences = sorted(
        {event.id.split("/")[2].split(".")[0] for event, _ in world.publisher.events if "." in event.id}
    )
    ids = [event.id.removeprefix("visit-17/") for event, _ in world.publisher.events]
    for name, fence in zip("ABC", fences, strict=False):
        ids = [one.replace(fence, name) for one in ids]
    return ids


def test_live_events_name_their_run_and_each_run_is_announced() -> None:
    """A consumer clears its live view at `started`: the next run repeats events with other contents."""
    world = speaking()
    world.service.breaks("stream", None, CUT)
    world.run(body(events=LIVE))
    first = ["started/A.1", "progress/A.1/1", "transcript/A.1/1", "progress/A.1/2", "facts/A.1/1"]
    second = [
        *("started/A.2", "progress/A.2/1", "transcript/A.2/1", "progress/A.2/2", "facts/A.2/1"),
        *("progress/A.2/3", "transcript/A.2/2"),
    ]
    assert live_ids(world) == [*first, *second, "result"]
    assert [event.data.attempt for event, _ in world.publisher.events if isinstance(event.data, Started)] == [
        1,
        2,
    ]


def test_another_claim_on_the_job_has_other_live_events() -> None:
    world = speaking()
    world.service.during = lambda: world.interrupt.wait(1.0)
    world.interrupt.after(1.5, lambda: world.interrupt.trigger(InterruptReason.DRAIN))
    world.run(body(events=LIVE))
    world.service.during = lambda: None
    world.run(body(events=LIVE))
    ids = live_ids(world)
    assert len(ids) == len(set(ids))
    starts = [one for one in ids if one.startswith("started")]
    assert starts == ["started/A.1", "started/B.1"], "the second claim is attempt 1 again, but a new run"


def test_an_outage_before_the_stream_is_announced_once_and_not_with_each_try() -> None:
    world = speaking()
    away = TransientError(Reason.UPSTREAM_UNAVAILABLE, "no connection")
    world.service.breaks("open", *([away] * 5))
    world.run(body(events=LIVE))
    starts = [one for one in live_ids(world) if one.startswith("started")]
    assert starts == ["started/A.1", "started/A.6"]


@pytest.mark.parametrize("events", [LIVE, ["transcript"]])
def test_no_live_event_of_a_run_is_published_before_its_announcement(events: list[str]) -> None:
    """A consumer that missed `started` would take the new run's words for more of the old run's."""
    world = speaking()
    world.service.breaks("stream", None, None, CUT)
    world.publisher.clock = None  # no pause after an event that was not confirmed
    seconds = iter(range(100))

    def broker() -> None:
        # The broker refuses `started` from just before the second run until one chunk of that run was sent.
        world.publisher.away = {STARTED} if next(seconds) in {2, 3} else set()

    world.service.during = broker
    world.run(body(events=events))
    told = live_ids(world)
    second = [one for one in told if ".2" in one]
    assert second[0] == "started/A.2"
    assert {one.rsplit("/", 1)[1] for one in second[1:2]} == {"1"}
    assert len(told) == len(set(told))


def test_a_job_without_live_events_starts_once_whatever_happens() -> None:
    world = speaking()
    world.service.breaks("stream", None, CUT)
    world.run(body())
    assert live_ids(world) == ["started", "result"]
