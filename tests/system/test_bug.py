"""A worker with a bug in it: it loses no job, and it does not die of them."""

from pathlib import Path

from tests.system.audio import clip
from tests.system.installation import Installation

JOBS, MB = 100, 1_000_000


def test_a_worker_whose_every_delivery_breaks_keeps_the_jobs_and_does_not_grow(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    faulty = installation.start_faulty(slots=JOBS, lease=2, visibility_timeout=6).ready()
    jobs = [installation.job(path, pace=4) for _ in range(JOBS)]
    installation.put(*jobs)

    def broke() -> int:
        return faulty.text().count("delivery_broke")

    installation.until(lambda: broke() >= JOBS, 20)
    before = faulty.metric("process_resident_memory_bytes")
    installation.until(lambda: broke() >= 4 * JOBS, 60)
    growth = faulty.metric("process_resident_memory_bytes") - before
    faulty.kill()
    installation.start_worker(slots=JOBS, lease=2, visibility_timeout=6).ready()

    assert installation.outcomes(installation.finals(JOBS, timeout=60)) == {"completed": JOBS}
    # With Celery's way of handing a delivery back, by an exception, it was 0.9 MB for each: 270 MB.
    assert growth < 20 * MB
