"""The built image, run as the rendered chart defines it, with real brokers and the sandbox."""

import json
import os
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ops.lib import queues
from ops.lib.ports import PortClaim
from ops.sandbox import launch
from tests.chart.helm import CHART, NAME, Rendered, render
from tests.conftest import require
from tests.image.containers import IMAGE, Container, podman
from tests.system.audio import clip

GRACE = 8


@pytest.fixture(scope="session")
def image() -> str:
    """Build the worker's image; return the build's output, which shows its size."""
    require(sys.platform == "linux" and os.geteuid() == 0, "building images here needs root on Linux")
    done = subprocess.run([IMAGE, "worker"], capture_output=True, text=True, check=False)
    require(done.returncode != 3, done.stderr)  # status 3: the tools cannot be installed
    assert done.returncode == 0, done.stderr
    print(f"\n{done.stdout.strip()}")
    return done.stdout


class Place:
    """The surroundings of one worker: broker, Redis, sandbox, Secrets."""

    def __init__(self, broker_url: str, redis_url: str, sandbox: launch.Sandbox, folder: Path) -> None:
        self.broker_url, self.sandbox, self.folder = broker_url, sandbox, folder
        self.kind = "redis" if broker_url.startswith("redis") else "rabbitmq"
        self.secrets = {
            "client-id": sandbox.info.client_id,
            "client-secret": sandbox.info.client_secret,
            "broker-url": broker_url,
            "redis-url": redis_url,
        }
        self.sandbox_addresses = {
            "authUrl": sandbox.info.http.auth_url,
            "apiUrl": sandbox.info.http.api_url,
            "streamUrl": sandbox.info.http.stream_url,
        }

    def render(self, port: int, **values: Any) -> Rendered:
        """Render the chart with this place's addresses and this port."""
        return render(
            {
                "broker": {"kind": self.kind},
                "corti": self.sandbox_addresses,
                "metrics": {"port": port},
                "graceSeconds": GRACE,
                **values,
            }
        )

    def start(self, rendered: Rendered, name: str = "worker") -> Container:
        """Start a container of the worker's pod."""
        folder = self.folder / uuid4().hex
        folder.mkdir(parents=True)
        return Container(rendered, rendered.worker(), name, self.secrets, folder)

    def job(self, seconds: float) -> dict[str, Any]:
        """A job with its audio inside."""
        path = self.folder / f"{uuid4()}.wav"
        clip(path, seconds, seed=1)
        return {
            "job_id": f"job-{uuid4()}",
            "audio": {"data": b64encode(path.read_bytes()).decode()},
            "transcription": {"language": "en"},
        }


@pytest.fixture
def place(broker_url: str, redis_url: str, tmp_path: Path) -> Iterator[Place]:
    with launch.start() as sandbox:
        yield Place(broker_url, redis_url, sandbox, tmp_path)


@pytest.fixture
def port() -> Iterator[int]:
    claim = PortClaim()
    yield claim.ports[0]
    claim.release()


def final(box: queues.Queues, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        body = box.take(queues.RESULTS, 1.0)
        event: dict[str, Any] = json.loads(body) if body else {"type": ""}
        if event["type"] in ("corti.job.completed.v1", "corti.job.failed.v1"):
            return event
    raise AssertionError(f"no result within {seconds} s")


def test_a_job_completes_and_sigterm_drains_in_time(image: str, place: Place, port: int) -> None:
    rendered = place.render(port)
    with ExitStack() as stack:
        box = stack.enter_context(queues.connect(place.broker_url))
        worker = stack.enter_context(place.start(rendered))
        startup = rendered.worker()["containers"][0]["startupProbe"]
        took = worker.wait_for("startup", port, startup["periodSeconds"] * startup["failureThreshold"])
        took += worker.wait_for("readiness", port, 30)
        assert worker.probe("liveness", port) == 200
        box.put(json.dumps(place.job(2)).encode())
        event = final(box, 30)
        assert event["type"] == "corti.job.completed.v1", event["data"]
        assert event["data"]["segments"]

        # The short job ends within the grace period; the long one cannot, and is handed back.
        short, long = place.job(3), place.job(8)
        long |= {"pace": 0.5}
        box.put(json.dumps(short).encode(), json.dumps(long).encode())
        deadline = time.monotonic() + 20
        while (
            sum(s["audio_bytes"] > 0 and s["closed_at"] is None for s in place.sandbox.stats()["streams"]) < 2
        ):
            assert time.monotonic() < deadline, worker.log()
            time.sleep(0.1)
        began = time.monotonic()
        worker.signal("SIGTERM")
        code = worker.wait(GRACE + 5)
        seconds = time.monotonic() - began
        print(f"\n{place.kind}: ready after {took:.1f} s, drained in {seconds:.1f} s of {GRACE}")
        assert code == 0, worker.log()
        assert seconds < rendered.worker()["terminationGracePeriodSeconds"]
        assert final(box, 5)["subject"] == short["job_id"]
        assert [name for name in worker.changed_files() if name.startswith(("A /opt", "C /opt"))] == []

        other = stack.enter_context(place.start(rendered))
        other.wait_for("readiness", port, 60)
        event = final(box, 60)
        assert (event["subject"], event["type"]) == (long["job_id"], "corti.job.completed.v1")


def test_what_helm_test_runs_passes_against_a_worker_in_its_image(
    image: str, place: Place, port: int
) -> None:
    rendered = place.render(port)
    with place.start(rendered) as worker:
        worker.wait_for("readiness", port, 60)
        demo = place.render(port, demo={"enabled": True})
        pod = demo.pods()[f"Pod/{NAME}-test"]
        done = podman(
            *(
                "run",
                "--rm",
                "--network",
                "host",
                "--read-only",
                "--user",
                "10001:10001",
                "--cap-drop",
                "ALL",
            ),
            *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--env", "TIMEOUT_SECONDS=60"),
            *("--env", "CORTI_WORKER_BROKER_URL=" + place.broker_url),
            *("--volume", f"{CHART / 'files/consultation.py'}:/opt/test/consultation.py:ro"),
            *("--entrypoint", pod["containers"][0]["command"][0]),
            "localhost/corti-worker:dev",
            *pod["containers"][0]["command"][1:],
            check=False,
        )
        assert done.returncode == 0, done.stderr + worker.log()
        assert json.loads(done.stdout)["segments"]


def test_a_signal_while_it_starts_ends_it_at_once(image: str, place: Place, port: int) -> None:
    """Python as process 1 would ignore a SIGTERM that comes before its handler is set; tini passes it on."""
    with place.start(place.render(port)) as worker:
        began = time.monotonic()
        worker.signal("SIGTERM")
        worker.wait(GRACE + 5)
        assert time.monotonic() - began < GRACE


def test_a_worker_in_its_image_ends_when_idle(image: str, place: Place, port: int) -> None:
    rendered = place.render(
        port,
        mode="scaledJob",
        door={"separate": True},
        autoscaling={"kind": "keda"},
        scaledJob={"idleSeconds": 2},
    )
    with place.start(rendered) as worker:
        assert worker.wait(40) == 0
        assert '"idle"' in worker.log()


def test_the_image_says_what_it_is_and_who_runs_it(image: str) -> None:
    inspected = json.loads(podman("image", "inspect", "localhost/corti-worker:dev").stdout)[0]
    config = inspected["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"][0] == "/usr/bin/tini"
    assert {"title", "description", "licenses", "version", "revision"} <= {
        name.rpartition(".")[2] for name in config["Labels"] if name.startswith("org.opencontainers.image.")
    }
    assert (
        config["Labels"]["org.opencontainers.image.version"]
        == podman(
            *(
                "run",
                "--rm",
                "--network",
                "none",
                "--ulimit",
                "nofile=1024:1024",
                "--ulimit",
                "nproc=1024:1024",
            ),
            *("localhost/corti-worker:dev", "--version"),
        ).stdout.split()[-1]
    )
