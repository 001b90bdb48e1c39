"""SIGTERM in mid-stream: streams that can end in time end, the other jobs go back to the queue.

A job that goes back uses no attempt.
"""

import signal
import time
from pathlib import Path

from tests.system.audio import clip
from tests.system.installation import Installation

STREAMS, GRACE = 50, 5


def test_fifty_streams_are_handed_back_within_the_grace_period_and_end_elsewhere(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    sha256 = clip(path, 15.0, seed=1)
    jobs = [installation.job(path) for _ in range(STREAMS)]
    first = installation.start_worker(grace=GRACE).ready()
    installation.put(*jobs)
    installation.wait_for_streams(STREAMS)
    began = time.monotonic()

    code = first.terminate(timeout=20)

    seconds = time.monotonic() - began
    print(f"\n{installation.broker}: drained {STREAMS} streams in {seconds:.1f} s (grace {GRACE} s)")
    assert seconds <= GRACE + 1
    assert code == 0
    installation.start_worker().ready()
    finals = installation.finals(STREAMS, timeout=90)
    installation.no_more_finals(2)
    assert installation.outcomes(finals) == {"completed": STREAMS}
    assert {event["data"]["attempts"] for event in finals.values()} == {1}
    ended = [record for record in installation.streams() if record["ended"]]
    assert len(ended) == STREAMS
    assert all(record["sha256"] == sha256 for record in ended)
    assert installation.sandbox.stats(summary=True)["overlaps"] == 0


def test_streams_that_can_end_within_the_grace_period_do(installation: Installation, tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    clip(path, 6.0, seed=1)
    worker = installation.start_worker(grace=20).ready()
    installation.put(*(installation.job(path) for _ in range(5)))
    installation.wait_for_streams(5)
    worker.process.send_signal(signal.SIGTERM)
    installation.until(lambda: worker.get("/readyz")[0] == 503, 5)

    finals = installation.finals(5, timeout=20)

    assert installation.outcomes(finals) == {"completed": 5}
    assert worker.process.wait(10) == 0
    assert len(installation.streams()) == 5
    late = installation.job(path)
    installation.put(late)
    installation.start_worker().ready()
    assert list(installation.finals(1, timeout=30)) == [late["job_id"]]


def test_a_second_signal_ends_the_worker_at_once(installation: Installation, tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    clip(path, 10.0, seed=1)
    worker = installation.start_worker(grace=60).ready()
    installation.put(installation.job(path))
    installation.wait_for_streams(1)
    began = time.monotonic()
    worker.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    worker.process.send_signal(signal.SIGINT)

    assert worker.process.wait(10) == 0

    assert time.monotonic() - began < 5
    installation.start_worker().ready()
    assert installation.outcomes(installation.finals(1, timeout=40)) == {"completed": 1}
