"""Jobs whose audio lies in an object store, through a real worker."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract.bucket import moto
from tests.system.audio import clip
from tests.system.installation import Installation


def stored(installation: Installation, uri: str) -> dict[str, Any]:
    return {**installation.job(Path("/unused")), "audio": {"uri": uri}}


@pytest.mark.usefixtures("no_cloud")
def test_a_recording_in_a_bucket_is_transcribed_and_one_of_another_tenant_is_not_read(
    installation: Installation, tmp_path: Path
) -> None:
    clip(tmp_path / "short.wav", 9.0, seed=1)
    installation.settings |= {"AWS_ACCESS_KEY_ID": "AKIA-WORKER", "AWS_SECRET_ACCESS_KEY": "any"}
    with moto() as store:
        store.make("visits")
        for key in "clinic-a/1.wav", "clinic-b/1.wav":
            store.put("visits", key, (tmp_path / "short.wav").read_bytes())
        installation.start_worker(
            audio_buckets="s3://visits/clinic-a/", s3_endpoint=store.url, s3_allow_http="true"
        ).ready()
        good = {**stored(installation, "s3://visits/clinic-a/1.wav"), "pace": 10}
        foreign = stored(installation, "s3://visits/clinic-b/1.wav")
        missing = stored(installation, "s3://visits/clinic-a/2.wav")
        installation.put(good, foreign, missing)

        finals = installation.finals(3, timeout=40)

        assert finals[good["job_id"]]["type"] == "corti.job.completed.v1"
        assert finals[good["job_id"]]["data"]["audio"]["seconds"] == pytest.approx(9.0)
        for job, text in (foreign, "outside of the tenant's buckets"), (missing, "names no object"):
            data = finals[job["job_id"]]["data"]
            assert (data["reason"], data["attempts"]) == ("audio_unreachable", 1)
            assert text in data["detail"]
            assert "visits" not in data["detail"]
        installation.end_workers()
