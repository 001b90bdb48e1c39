"""What the subjects in Python share: arguments, audio, REST requests, and the two lines of output."""

import argparse
import http.client
import json
import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

RATE = 32_000
"""Bytes per second of 16 kHz, 16-bit mono PCM."""

CONFIG = json.dumps(
    {
        "type": "config",
        "configuration": {
            "transcription": {
                "primaryLanguage": "en",
                "isDiarization": False,
                "isMultichannel": False,
                "participants": [{"channel": 0, "role": "multiple"}],
            },
            "mode": {"type": "facts", "outputLocale": "en"},
            "audioFormat": "audio/pcm; rate=16000; channels=1; bits=16",
        },
    }
)
_SPREAD = 0.618034  # the fractions of its multiples fill an interval evenly, for any number of them


@dataclass(frozen=True)
class Options:
    """The arguments, see `ops.benchmarks.subjects.Load`. All durations are in seconds."""

    url: str
    ca: Path
    streams: int
    seconds: float
    ramp: float
    chunk: float

    @classmethod
    def read(cls) -> "Options":
        """Read the arguments from the command line."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--url", required=True)
        parser.add_argument("--ca", type=Path, required=True)
        parser.add_argument("--streams", type=int, required=True)
        parser.add_argument("--seconds", type=float, required=True)
        parser.add_argument("--ramp", type=float, default=0.0)
        parser.add_argument("--chunk-ms", type=float, default=250)
        given = parser.parse_args()
        return cls(given.url, given.ca, given.streams, given.seconds, given.ramp, given.chunk_ms / 1000)

    @property
    def rest_url(self) -> str:
        """The base URL of the REST API."""
        return self.url.replace("wss:", "https:", 1)

    def opens_after(self, number: int) -> float:
        """Return when a stream is opened, in seconds from the start."""
        return self.ramp * number / self.streams

    def phase(self, number: int) -> float:
        """Return the seconds from a stream's acceptance to its first chunk. They differ between streams."""
        return self.chunk * (number * _SPREAD % 1)

    def chunks(self) -> list[bytes]:
        """Return ten seconds of noise in chunks, which streams send in turn."""
        size = int(RATE * self.chunk) & ~1
        noise = random.Random(4).randbytes(10 * RATE)
        return [noise[at : at + size] for at in range(0, len(noise) - size + 1, size)]


def stream_urls(options: Options) -> list[str]:
    """Fetch a token, create all interactions over one connection, and return the URLs of their streams."""
    context = ssl.create_default_context(cafile=str(options.ca))
    connection = http.client.HTTPSConnection(urlsplit(options.url).netloc, context=context, timeout=30)

    def post(path: str, body: str, headers: dict[str, str]) -> dict[str, str]:
        connection.request("POST", path, body, headers)
        with connection.getresponse() as response:
            answer: dict[str, str] = json.load(response)
            return answer

    form = {
        "grant_type": "client_credentials",
        "client_id": "bench",
        "client_secret": "bench",
        "scope": "openid",
    }
    token = post(
        "/realms/base/protocol/openid-connect/token",
        urlencode(form),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )["access_token"]
    headers = {
        "Authorization": f"Bearer {token}",
        "Tenant-Name": "base",
        "Content-Type": "application/json",
    }
    urls = []
    for number in range(options.streams):
        encounter = {"identifier": f"bench-{number}", "status": "planned", "type": "consultation"}
        created = post("/v2/interactions/", json.dumps({"encounter": encounter}), headers)
        urls.append(f"{created['websocketUrl']}&token={quote(f'Bearer {token}')}")
    connection.close()
    return urls


class Report:
    """Counts accepted and failed streams, and prints the two lines of output. Thread-safe.

    Args:
        streams: Number of streams of the load.
        on_ready: Called after the first line.
    """

    def __init__(self, streams: int, on_ready: Callable[[], object] = lambda: None) -> None:
        self.on_ready = on_ready
        self._streams = streams
        self._connects: list[float] = []
        self._failures = 0
        self._ready = False
        self._lock = threading.Lock()

    def connected(self, began: float) -> None:
        """Count an accepted stream, whose connection attempt began at `began` on the monotonic clock."""
        with self._lock:
            self._connects.append(time.monotonic() - began)
            self._check()

    def failed(self) -> None:
        """Count a stream that could not be opened, or was lost."""
        with self._lock:
            self._failures += 1
            self._check()

    def _check(self) -> None:
        if not self._ready and len(self._connects) + self._failures >= self._streams:
            self._ready = True
            print(json.dumps({"ready": True, "failures": self._failures}), flush=True)
            self.on_ready()

    def finish(self) -> None:
        """Print the second line."""
        with self._lock:
            answer = {"failures": self._failures, "connect_ms": percentiles(self._connects)}
        print(json.dumps(answer), flush=True)


def percentiles(seconds: list[float]) -> dict[str, float | None]:
    """Return the number of values, and their median and 99th percentile in milliseconds."""
    values = sorted(seconds)

    def at(share: float) -> float | None:
        return round(values[min(int(share * len(values)), len(values) - 1)] * 1000, 3) if values else None

    return {"n": len(values), "p50": at(0.5), "p99": at(0.99)}
