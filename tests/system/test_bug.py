"""A worker with a bug that breaks every delivery: it loses no job, and its memory does not grow."""

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
    # When deliveries were handed back by an exception, as Celery does it, each leaked 0.9 MB: 270 MB here.
    assert growth < 20 * MB
