"""Start the sandbox as a child process and control it; for tests, the demo and benchmarks.

Only the standard library and ``ops.lib`` are imported, so the importing process needs none of the sandbox's
dependencies.
"""

from __future__ import annotations

import json
import select
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from ops.lib import children

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_REPOSITORY = Path(__file__).resolve().parents[2]
# Requests to the loopback interface must not go through a proxy that the environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_REQUEST_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Endpoint:
    """The three base URLs of the API that a client is configured with."""

    auth_url: str
    api_url: str
    stream_url: str


@dataclass(frozen=True)
class Info:
    """The contents of the line that the sandbox prints when it is ready."""

    pid: int
    tenant: str
    client_id: str
    client_secret: str
    ca_file: str | None
    http: Endpoint
    https: Endpoint | None
    stats_url: str

    @classmethod
    def parse(cls, line: str) -> Info:
        """Read the JSON line that the sandbox prints on stdout."""
        raw = json.loads(line)
        secure = raw.get("https")
        return cls(
            pid=raw["pid"],
            tenant=raw["tenant"],
            client_id=raw["client_id"],
            client_secret=raw["client_secret"],
            ca_file=raw.get("ca_file"),
            http=Endpoint(**raw["http"]),
            https=Endpoint(**secure) if secure else None,
            stats_url=raw["stats_url"],
        )


class Sandbox:
    """A running sandbox process. ``close``, or the end of the ``with`` block, stops it."""

    def __init__(self, process: children.Child, info: Info) -> None:
        self.info = info
        self._process = process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def stats(self, *, summary: bool = False) -> dict[str, Any]:
        """Return the counters, and without ``summary`` also the record of each stream."""
        answer: dict[str, Any] = self._request("GET", "stats?summary=1" if summary else "stats")
        return answer

    def reset(self) -> None:
        """Set every counter to zero and delete the records of closed streams."""
        self._request("POST", "reset")

    def fault(self, name: str, **parameters: Any) -> None:
        """Activate one more fault; ``count``, ``tenant`` and ``encounter`` limit it.

        Raises:
            urllib.error.HTTPError: status 400: unknown name or parameter, or an invalid value.
        """
        self._request("POST", "faults", {"name": name, **parameters})

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults, used-up ones included, each with the number of times it was ``used``."""
        answer: list[dict[str, Any]] = self._request("GET", "faults")["faults"]
        return answer

    def clear_faults(self, name: str | None = None) -> None:
        """Remove all faults, or those with this name."""
        self._request("DELETE", f"faults?name={name}" if name else "faults")

    def close(self) -> int:
        """Stop the process and return its exit status; it may be called more than once."""
        status = children.end(self._process, _STOP_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return status

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        url = self.info.stats_url.removesuffix("stats") + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 -- our own loopback address
        with _OPENER.open(request, timeout=_REQUEST_SECONDS) as response:
            text = response.read()
        return json.loads(text) if text else None


def start(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls_port: int | None = 0,
    tenant: str = "base",
    client_id: str = "sandbox",
    client_secret: str = "sandbox-secret",  # noqa: S107 -- the documented default of a local test server
    token_seconds: float = 300,
    script: str | Path | None = None,
    recognise: bool = False,
    facts_every: float | None = None,
    time_scale: float = 1.0,
    latency: float = 0.0,
    config_deadline: float = 10.0,
    state_dir: str | Path | None = None,
    faults: Sequence[Mapping[str, Any]] = (),
    extra_arguments: Sequence[str] = (),
    stderr: IO[Any] | int | None = None,
    startup_seconds: float = 30.0,
) -> Sandbox:
    """Start ``python -m ops.sandbox`` and wait until it is ready.

    Args:
        host: Address to listen on.
        port: Port of http and ws; 0 picks a free port.
        tls_port: Port of https and wss; 0 picks a free port, ``None`` switches TLS off.
        tenant: Name of the tenant and of its realm.
        client_id: Client that may request tokens.
        client_secret: Secret of this client.
        token_seconds: Lifetime of a token in seconds.
        script: Script file with the transcript lines to send; see README.
        recognise: Transcribe English speech instead of sending placeholders.
        facts_every: Seconds of audio between facts messages, instead of the documented intervals.
        time_scale: Factor on the intervals in audio time.
        latency: Seconds between the end of a segment and its transcript.
        config_deadline: Seconds a client has to send its configuration.
        state_dir: Directory for the CA bundle; by default a temporary directory, removed at exit.
        faults: Faults that are active from the start.
        extra_arguments: Appended to the command line.
        stderr: As for ``subprocess.Popen``.
        startup_seconds: Seconds to wait for the line on stdout.

    Raises:
        RuntimeError: the process ended, or printed nothing within ``startup_seconds``.
    """
    command = [sys.executable, "-m", "ops.sandbox", "--host", host, "--port", str(port)]
    command += ["--no-tls"] if tls_port is None else ["--tls-port", str(tls_port)]
    command += ["--tenant", tenant, "--client-id", client_id, "--client-secret", client_secret]
    command += ["--token-seconds", str(token_seconds), "--config-deadline", str(config_deadline)]
    command += ["--time-scale", str(time_scale), "--latency", str(latency)]
    command += ["--script", str(script)] if script is not None else []
    command += ["--recognise"] if recognise else []
    command += ["--facts-every", str(facts_every)] if facts_every is not None else []
    command += ["--state-dir", str(state_dir)] if state_dir is not None else []
    for fault in faults:
        command += ["--faults", json.dumps(dict(fault))]
    command += list(extra_arguments)
    process = children.start(command, cwd=_REPOSITORY, stdout=children.PIPE, stderr=stderr, text=True)
    try:
        return Sandbox(process, Info.parse(_first_line(process, startup_seconds)))
    except BaseException:
        with children.ended(process, grace=0):
            raise


def _first_line(process: children.Child, seconds: float) -> str:
    out = process.stdout
    if out is None or not select.select([out], [], [], seconds)[0]:
        raise RuntimeError(f"the sandbox printed nothing within {seconds} s")
    line: str = out.readline()
    if not line:
        raise RuntimeError(f"the sandbox ended with status {process.wait()} before it was ready")
    return line
