"""Live events of a job that is streamed more than once: a consumer can tell the runs apart."""

import json
from pathlib import Path
from typing import Any

import pytest

from ops.lib import queues
from tests.system.audio import clip
from tests.system.installation import FINAL, Installation

LIVE = ["progress", "transcript", "facts"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    clip(tmp_path / "clip.wav", 6.0, seed=1)
    return tmp_path / "clip.wav"


def assert_each_run_is_announced(events: list[dict[str, Any]], attempts: list[int]) -> None:
    """Assert that no id occurs twice, and that a `started` event precedes the live events of each run."""
    ids = [event["id"] for event in events]
    assert len(ids) == len(set(ids))
    starts = [event for event in events if event["type"] == "corti.job.started.v1"]
    assert [start["data"]["attempt"] for start in starts] == attempts
    run = ""
    for event in events:
        if event["type"] in FINAL:
            continue
        _, _, its_run, *_ = event["id"].split("/")
        if event["type"] == "corti.job.started.v1":
            run = its_run
        assert its_run == run, "an event belongs to another run than the last `started` event"


def test_a_stream_that_breaks_begins_a_live_view_anew(installation: Installation, path: Path) -> None:
    installation.sandbox.fault("drop_socket", after_seconds=3, count=1)
    installation.start_worker().ready()
    installation.put(installation.job(path, events=LIVE))

    events = installation.events_until_final(timeout=40)

    assert events[-1]["type"] == "corti.job.completed.v1"
    assert_each_run_is_announced(events, [1, 2])


def test_a_takeover_begins_a_live_view_anew(installation: Installation, path: Path) -> None:
    victim = installation.start_worker(lease=4, visibility_timeout=4).ready()
    installation.put(installation.job(path, events=LIVE))
    before: list[dict[str, Any]] = []
    while len(before) < 3:
        if body := installation.box.take(queues.RESULTS, 10):
            before.append(json.loads(body))
    victim.kill()
    installation.start_worker(lease=4, visibility_timeout=4).ready()

    events = [*before, *installation.events_until_final(timeout=60)]

    assert events[-1]["type"] == "corti.job.completed.v1"
    assert_each_run_is_announced(events, [1, 2])
