"""An audit trail that nobody reads: jobs go on, and `/readyz` and a metric report it.

Once the trail is read again, the worker is ready again.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.audio import clip
from tests.system.installation import Installation
from worker.telemetry.audit_log import MOST_WAITING

pytestmark = pytest.mark.parametrize("broker_url", ["redis"], indirect=True)

#: Bytes that a pipe on Linux holds; an audit record is longer than half a kB.
PIPE = 65_536


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A named pipe in place of a container's standard output: its path, and the descriptor to read from."""
    path = tmp_path / "trail"
    os.mkfifo(path)
    ours = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, ours
    os.close(ours)


def test_nobody_reads_the_audit_trail(
    installation: Installation, pipe: tuple[Path, int], tmp_path: Path
) -> None:
    path, ours = pipe
    clip(tmp_path / "clip.wav", 4.0, seed=1)
    worker = installation.start_worker(audit=path).ready()
    # Each message makes one audit record; together they are more than the pipe and the worker's memory hold.
    installation.put(*(b"no job %d" % number for number in range(MOST_WAITING + PIPE // 512 + 500)))
    installation.until(lambda: "the audit trail is blocked" in worker.get("/readyz")[1], 90)
    installation.put(installation.job(tmp_path / "clip.wav", pace=2))

    finals = installation.finals(1, timeout=60)

    assert installation.outcomes(finals) == {"completed": 1}
    (record,) = installation.streams()
    assert record["closed_at"] - record["opened_at"] < 4.0, "the audio was sent late"
    assert worker.metric("corti_audit_records_total", outcome="lost") > 0
    assert worker.get("/livez")[0] == 200

    def read_on() -> bool:
        try:
            while os.read(ours, PIPE):
                pass
        except BlockingIOError:
            pass
        return worker.get("/readyz")[0] == 200

    installation.until(read_on, 60)
