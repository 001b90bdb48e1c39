"""A job consumer that handles each job as the vendor's quick start does; `ops/bench jobs` runs it.

Each of its processes takes one job at a time from a Redis list (BRPOP), gets a token and an interaction
(`requests` without a session), streams (a `WebSocketApp`, and a thread that sends a chunk and sleeps), and
puts the result on a list (LPUSH). It has no claims, no retries and no confirmed results: if a process dies,
its job is lost.
"""

import argparse
import json
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import certifi
import redis
import requests
import websocket

from ops.benchmarks.subjects.common import CONFIG

_CHUNK_SECONDS = 0.25
_RATE = 16_000


class Consultation:
    """One job's stream.

    Args:
        audio: PCM, 16 kHz, 16 bit, mono.
        pace: Speed of streaming, as a multiple of real time.
        bundle: PEM file of authorities.
    """

    def __init__(self, audio: bytes, pace: float, bundle: str) -> None:
        self._audio, self._pace, self._bundle = audio, pace, bundle
        self.segments: list[Any] = []
        self.ended = False

    def run(self, url: str) -> None:
        """Stream the audio to `url`; return when the connection is closed."""
        app = websocket.WebSocketApp(url, on_open=self._on_open, on_message=self._on_message)
        app.run_forever(sslopt={"ca_certs": self._bundle})

    def _on_open(self, app: Any) -> None:
        app.send(CONFIG)

    def _on_message(self, app: Any, text: str) -> None:
        message = json.loads(text)
        match message["type"]:
            case "CONFIG_ACCEPTED":
                threading.Thread(target=self._send_audio, args=[app], daemon=True).start()
            case "transcript":
                self.segments += message["data"]
            case "ENDED":
                self.ended = True
                app.close()

    def _send_audio(self, app: Any) -> None:
        size = int(_CHUNK_SECONDS * _RATE) * 2
        for at in range(0, len(self._audio), size):
            app.send(self._audio[at : at + size], opcode=websocket.ABNF.OPCODE_BINARY)
            time.sleep(_CHUNK_SECONDS / self._pace)
        app.send(json.dumps({"type": "end"}))


def run_job(job: dict[str, Any], base: str, bundle: str) -> dict[str, Any]:
    """Run one job against the service at `base`, and return its final event."""
    answer = requests.post(
        f"{base}/realms/base/protocol/openid-connect/token",
        data={
            "client_id": "bench",
            "client_secret": "bench-secret",
            "grant_type": "client_credentials",
            "scope": "openid",
        },
        verify=bundle,
        timeout=30,
    )
    answer.raise_for_status()
    token = answer.json()["access_token"]
    encounter = {"identifier": job["job_id"], "status": "planned", "type": "consultation"}
    created = requests.post(
        f"{base}/v2/interactions",
        json={"encounter": encounter},
        headers={"Authorization": f"Bearer {token}", "Tenant-Name": "base"},
        verify=bundle,
        timeout=30,
    )
    created.raise_for_status()
    interaction = created.json()
    with wave.open(unquote(urlsplit(job["audio"]["uri"]).path), "rb") as file:
        audio = file.readframes(file.getnframes())
    consultation = Consultation(audio, job.get("pace", 1), bundle)
    consultation.run(f"{interaction['websocketUrl']}&token={quote(f'Bearer {token}')}")
    outcome = "completed" if consultation.ended else "failed"
    return {
        "type": f"corti.job.{outcome}.v1",
        "subject": job["job_id"],
        "data": {"interaction_id": interaction["interactionId"], "segments": consultation.segments},
    }


def consume(url: str, base: str, bundle: str, ready: Callable[[], object]) -> None:
    """Take jobs from the Redis at `url` for ever; call `ready` before the first."""
    # BRPOP waits for ever, and redis-py by default waits only some seconds for an answer.
    client = redis.Redis.from_url(url, socket_timeout=None)
    client.ping()
    ready()
    while True:
        item: Any = client.brpop(["corti.jobs"], 0)
        client.lpush("corti.results", json.dumps(run_job(json.loads(item[1]), base, bundle)))


def main() -> None:
    """Run the processes until SIGTERM, and print a line when all are ready."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--redis", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with tempfile.TemporaryDirectory(prefix="corti-quickstart-") as folder:
        bundle = Path(folder) / "ca.pem"
        bundle.write_bytes(Path(certifi.where()).read_bytes() + options.ca.read_bytes())
        fork = multiprocessing.get_context("fork")
        ready = fork.Semaphore(0)
        arguments = (options.redis, options.url, str(bundle), ready.release)
        children = [
            fork.Process(target=consume, args=arguments, daemon=True) for _ in range(options.processes)
        ]
        for child in children:
            child.start()
        for _ in children:
            ready.acquire()
        print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)
        signal.sigwait([signal.SIGTERM])
        for child in children:
            child.kill()


if __name__ == "__main__":
    main()
