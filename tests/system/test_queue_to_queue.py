"""Jobs go in as plain JSON and come out as results, each once, with every byte of their audio sent."""

import json
import time
from pathlib import Path

import pytest

from tests.system.audio import clip, stereo
from tests.system.installation import Installation

JOBS = 200


def test_two_hundred_jobs_each_get_one_result_one_interaction_and_all_their_audio(
    installation: Installation, tmp_path: Path
) -> None:
    clips = {tmp_path / f"{n}.wav": clip(tmp_path / f"{n}.wav", 5.0, seed=n) for n in range(JOBS)}
    jobs = {path: installation.job(path, pace=4) for path in clips}
    worker = installation.start_worker(slots=JOBS).ready()
    started = time.monotonic()
    installation.put(*jobs.values())

    finals = installation.finals(JOBS, timeout=90)
    seconds = time.monotonic() - started

    assert installation.outcomes(finals) == {"completed": JOBS}
    assert finals.keys() == {job["job_id"] for job in jobs.values()}
    stats = installation.sandbox.stats()
    arrived = {record["encounter_identifier"]: record for record in stats["streams"]}
    assert len(arrived) == len(stats["streams"]) == JOBS
    for path, job in jobs.items():
        assert arrived[job["job_id"]]["sha256"] == clips[path]
        audio = finals[job["job_id"]]["data"]["audio"]
        assert (audio["seconds"], audio["bytes"]) == (5.0, 160_000)
    assert stats["interactions_created"] == JOBS
    assert stats["overlaps"] == 0
    assert stats["tokens_issued"] == 1
    assert max(record["max_chunk_bytes"] for record in stats["streams"]) == 8000
    # The worker counts a job just after the broker has confirmed its result.
    installation.until(lambda: worker.metric("corti_jobs_finished_total", outcome="completed") == JOBS, 10)
    print(f"\n{JOBS} jobs of 5 s at pace 4 in {seconds:.1f} s")
    assert worker.terminate() == 0


def test_live_events_come_in_order_and_the_result_repeats_their_segments(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "live.wav"
    clip(path, 8.0, seed=1)
    installation.start_worker().ready()
    job = installation.job(
        path, pace=4, events=["progress", "transcript", "facts"], metadata={"ward": [1, {"x": None}]}
    )
    installation.put(job)

    events = installation.events_until_final(timeout=30)

    assert events[0]["type"] == "corti.job.started.v1"
    assert events[-1]["type"] == "corti.job.completed.v1"
    assert len({event["id"] for event in events}) == len(events)
    live = [
        segment
        for event in events
        if event["type"] == "corti.transcript.segments.v1"
        for segment in event["data"]["segments"]
    ]
    assert live == events[-1]["data"]["segments"] != []
    progress = [
        event["data"]["audio_seconds"] for event in events if event["type"] == "corti.job.progress.v1"
    ]
    assert progress == sorted(progress) != []
    assert events[-1]["data"]["metadata"] == job["metadata"]


def test_a_result_goes_to_the_queue_that_the_job_names(installation: Installation, tmp_path: Path) -> None:
    path = tmp_path / "reply.wav"
    clip(path, 1.0, seed=2)
    installation.start_worker().ready()
    job = installation.job(path, pace=4, reply_to="corti.results.ward7")
    installation.put(job)

    events = [json.loads(installation.box.take("corti.results.ward7", 10) or b"{}") for _ in range(2)]

    assert [event["type"] for event in events] == ["corti.job.started.v1", "corti.job.completed.v1"]
    assert {event["subject"] for event in events} == {job["job_id"]}
    installation.no_more_finals(1.0)


def test_compressed_audio_is_passed_through_as_it_is(installation: Installation) -> None:
    sample = Path(__file__).resolve().parents[2] / "ops/sample/consultation.ogg"
    installation.start_worker().ready()
    installation.put(installation.job(sample, pace=20))

    final = next(iter(installation.finals(1, timeout=30).values()))

    assert final["type"] == "corti.job.completed.v1"
    record = installation.streams()[0]
    assert record["audio_bytes"] == sample.stat().st_size
    assert abs(final["data"]["audio"]["seconds"] - 28.6) < 0.2
    assert len(final["data"]["segments"]) >= 6
    assert final["data"]["text"].count("\n") == len(final["data"]["segments"]) - 1
    audio = final["data"]["audio"]
    assert audio["speech_seconds"] + audio["silence_seconds"] == pytest.approx(audio["seconds"])


def test_each_channel_has_the_role_of_its_participant(installation: Installation, tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    stereo(path, "LRRL")
    installation.start_worker().ready()
    people = [{"channel": 0, "role": "doctor"}, {"channel": 1, "role": "patient"}]
    separate = {"language": "en", "multichannel": True, "participants": people}
    job = installation.job(path, pace=4, transcription=separate, events=["transcript"])
    installation.put(job)

    final = installation.finals(1, timeout=30)[job["job_id"]]["data"]

    assert [one["role"] for one in final["segments"]] == ["doctor", "patient", "patient", "doctor"]
    labels = [line.partition(":")[0] for line in final["text"].splitlines()]
    assert labels == ["doctor", "patient", "doctor"]


def test_a_silent_recording_completes_and_says_so(installation: Installation, tmp_path: Path) -> None:
    path = tmp_path / "silent.wav"
    stereo(path, "--")
    installation.start_worker().ready()
    job = installation.job(path, pace=4)
    installation.put(job)

    final = installation.finals(1, timeout=30)[job["job_id"]]

    assert final["type"] == "corti.job.completed.v1"
    data = final["data"]
    assert (data["segments"], data["text"]) == ([], "")
    assert data["warnings"] == ["no speech was recognised in the audio"]
    assert (data["audio"]["speech_seconds"], data["audio"]["silence_seconds"]) == (0.0, 4.0)


def test_a_job_that_cannot_succeed_becomes_one_failure_and_one_dead_letter(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "text.wav"
    path.write_bytes(b"this is no audio at all " * 10)
    installation.start_worker().ready()
    bad = installation.job(path, metadata={"case": "7"})
    missing = installation.job(tmp_path / "missing.wav")
    foreign = installation.job(path, tenant="elsewhere")
    installation.put(bad, missing, foreign)

    finals = installation.finals(3, timeout=30)
    letters = {letter["job_id"]: letter for letter in installation.dead(3, timeout=10)}

    reasons = {job_id: event["data"]["reason"] for job_id, event in finals.items()}
    assert reasons == {
        bad["job_id"]: "audio_unsupported",
        missing["job_id"]: "audio_unreachable",
        foreign["job_id"]: "unknown_tenant",
    }
    assert {job_id: letter["reason"] for job_id, letter in letters.items()} == reasons
    assert finals[bad["job_id"]]["data"]["metadata"] == {"case": "7"}


def test_an_urgent_job_does_not_wait_behind_routine_ones(installation: Installation, tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    clip(path, 8.0, seed=1)
    installation.start_worker(slots=1).ready()
    installation.start_worker(slots=1, lane="urgent").ready()
    routine = [installation.job(path) for _ in range(3)]
    installation.put(*routine)
    installation.wait_for_streams(1)
    urgent = installation.job(path, pace=4)
    installation.put(urgent, queue="corti.jobs.urgent")

    first = installation.finals(1, timeout=30)

    assert list(first) == [urgent["job_id"]]
