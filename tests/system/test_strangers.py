"""Somebody puts tasks on Celery's own queue, past the door."""

from pathlib import Path

import kombu.pools
import pytest

from tests.system.audio import clip
from tests.system.installation import Installation
from worker.broker.redis_leases import transport_options
from worker.broker.work_queue import TASK, make_celery

SECRET = "Ada Lovelace"


@pytest.mark.parametrize("protocol", [1, 2])
def test_tasks_of_strangers_are_refused_and_the_next_job_runs(
    installation: Installation, tmp_path: Path, protocol: int
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    options = None if installation.broker == "rabbitmq" else transport_options(60)
    worker = installation.start_worker(slots=3).ready()
    app = make_celery(installation.broker_url, redis_options=options, consumer_timeout=21600)
    app.conf.task_protocol = protocol
    try:
        for args in (), (1,), (SECRET,), (SECRET, SECRET), ({"job_id": SECRET},):
            app.send_task(TASK, args=args)
        app.send_task(TASK, kwargs={"text": SECRET})
        app.send_task(f"{TASK}.of.next.year", args=(SECRET,))
    finally:
        app.close()
        kombu.pools.reset()
    # More than the slots that strangers could keep.
    jobs = [installation.job(path, pace=4) for _ in range(8)]
    installation.put(*jobs)

    assert installation.outcomes(installation.finals(len(jobs), timeout=30)) == {"completed": len(jobs)}
    assert worker.get("/livez")[0] == worker.get("/readyz")[0] == 200
    assert SECRET not in worker.text()
