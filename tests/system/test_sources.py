"""Sources of audio that stall or abuse a worker: the worker refuses them, or leaves them in time."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contract.raw_host import RawHost, raw_host
from tests.system.audio import clip
from tests.system.installation import Installation


def dripping(host: RawHost, peer: socket.socket) -> None:
    """Announce a large audio file, and then send one byte each second."""
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 1000000\r\n\r\nRIFF")
    host.drip(peer, 1.0)


def download(installation: Installation, url: str) -> dict[str, Any]:
    return {**installation.job(Path("/unused")), "audio": {"uri": url}}


def test_a_pipe_in_the_place_of_a_recording_fails_its_job_and_does_not_hold_up_others(
    installation: Installation, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    clip(tmp_path / "short.wav", 1.0, seed=1)
    worker = installation.start_worker(grace=20).ready()
    pipe, good = installation.job(tmp_path / "pipe.wav"), installation.job(tmp_path / "short.wav")
    installation.put(pipe, good)

    finals = installation.finals(2, timeout=30)

    assert finals[pipe["job_id"]]["data"]["reason"] == "audio_unreachable"
    assert "no regular file" in finals[pipe["job_id"]]["data"]["detail"]
    assert finals[good["job_id"]]["type"] == "corti.job.completed.v1"
    began = time.monotonic()
    assert worker.terminate(timeout=20) == 0
    assert time.monotonic() - began < 10


def test_a_drain_leaves_a_download_that_stalls_and_hands_its_job_back(installation: Installation) -> None:
    with raw_host(dripping) as host:
        worker = installation.start_worker(grace=30, audio_hosts="127.0.0.1").ready()
        installation.put(download(installation, host.url()))
        assert host.asked.wait(20)
        began = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)

        assert worker.process.wait(25) == 0

        assert time.monotonic() - began < 10, "the worker waited for the source"
        assert any(record.get("event") == "job_handed_back" for record in worker.records())


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.wav", "http://169.254.0.1:1/a.wav"])
def test_a_host_inside_the_network_is_not_asked_unless_it_is_listed(
    installation: Installation, url: str
) -> None:
    installation.start_worker().ready()
    installation.put(download(installation, url))
    (final,) = installation.finals(1, timeout=20).values()
    assert final["data"]["reason"] == "audio_unreachable"
    assert final["data"]["attempts"] == 1
    assert "CORTI_WORKER_AUDIO_HOSTS" in final["data"]["detail"]


def test_without_a_configured_directory_no_file_is_read(installation: Installation, tmp_path: Path) -> None:
    clip(tmp_path / "short.wav", 1.0, seed=1)
    del installation.settings["CORTI_WORKER_AUDIO_ROOT"]
    installation.start_worker().ready()
    installation.put(installation.job(tmp_path / "short.wav"))
    (final,) = installation.finals(1, timeout=20).values()
    assert final["data"]["reason"] == "audio_unreachable"
    assert "CORTI_WORKER_AUDIO_ROOT" in final["data"]["detail"]
