"""No message harms the door: an invalid one becomes a dead letter that says why, and good jobs complete."""

import hashlib
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.system.audio import clip
from tests.system.installation import Installation
from tests.system.messages import bad_messages

MESSAGES, GOOD = 1000, 20


@cache
def generate(count: int) -> list[bytes]:
    """Generate `count` distinct bad messages, the same in every run."""
    found: dict[str, bytes] = {}

    @seed(20261122)
    @settings(
        max_examples=count + count // 2,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(bad_messages())
    def collect(body: bytes) -> None:
        if len(found) < count:
            found.setdefault(hashlib.sha256(body).hexdigest(), body)

    collect()
    assert len(found) == count, f"only {len(found)} distinct messages were generated"
    return list(found.values())


def test_a_thousand_bad_messages_become_dead_letters_and_good_jobs_among_them_complete(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "good.wav"
    clip(path, 1.0, seed=1)
    bad = generate(MESSAGES)
    good = [installation.job(path, pace=10) for _ in range(GOOD)]
    worker = installation.start_worker().ready()
    every = MESSAGES // GOOD
    for n, job in enumerate(good):
        installation.put(*bad[n * every : (n + 1) * every], job)

    finals = installation.finals(GOOD, timeout=60)
    letters = installation.dead(MESSAGES, timeout=60)

    assert installation.outcomes(finals) == {"completed": GOOD}
    assert {letter["sha256"] for letter in letters} == {hashlib.sha256(body).hexdigest() for body in bad}
    assert len(letters) == MESSAGES
    for letter in letters:
        assert letter["reason"] == "invalid_job"
        assert letter["errors"]
        assert all(error["field"] and error["expected"] for error in letter["errors"])
    assert worker.process.poll() is None
    assert worker.metric("corti_door_messages_total", outcome="refused") == MESSAGES
    assert worker.get("/livez")[0] == worker.get("/readyz")[0] == 200
