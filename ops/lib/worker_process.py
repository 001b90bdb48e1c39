"""A real worker as a child process, with its log, health and metrics; for the demo, tests and benchmarks."""

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops.lib import children, ending
from ops.sandbox.launch import Info

_REPOSITORY = Path(__file__).resolve().parents[2]
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_POLL = 0.05
_BETWEEN_SIGNALS = 0.5


class WorkerError(RuntimeError):
    """The worker did not become ready; the text ends with the last lines of its log."""


def sandbox_settings(info: Info, *, tls: bool = True) -> dict[str, str]:
    """The settings with which a worker uses a sandbox, over TLS if `tls` is set and the sandbox has it."""
    endpoint = info.https if tls and info.https else info.http
    settings = {
        "CORTI_CLIENT_ID": info.client_id,
        "CORTI_CLIENT_SECRET": info.client_secret,
        "CORTI_TENANT": info.tenant,
        "CORTI_AUTH_URL": endpoint.auth_url,
        "CORTI_API_URL": endpoint.api_url,
    }
    if tls and info.ca_file:
        settings["CORTI_CA_FILE"] = info.ca_file
    return settings


class WorkerProcess:
    """`corti-worker run` (or another command) as a child process.

    Args:
        settings: Its CORTI_ environment variables; those of this process are not passed on.
        log: The file that gets its stdout and stderr.
        command: Its arguments.
        source: Directory of its code: this repository, or one with another version of `worker`.
        module: The Python module to run.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        log: Path,
        command: tuple[str, ...] = ("run",),
        source: Path = _REPOSITORY,
        module: str = "worker",
    ) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CORTI_")}
        environment |= {
            "CORTI_WORKER_HEALTH_PORT": "0",
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        self.log_path = log
        self._log = log.open("ab")
        self._start = self._log.tell()
        self._port: int | None = None
        self.process = children.start(
            [sys.executable, "-m", module, *command],
            cwd=source,
            env=environment,
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ending.Ended):
            self.hand_back()
        self.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def ready(self, timeout: float = 30.0) -> Self:
        """Wait until `/readyz` answers 200.

        Raises:
            WorkerError: It ended, or was not ready within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.health_port() is not None and self.get("/readyz")[0] == 200:  # noqa: PLR2004
                return self
            time.sleep(_POLL)
        raise WorkerError(f"the worker did not become ready\n{self.tail()}")

    def health_port(self) -> int | None:
        """Port of its health server; `None` until it has logged the port."""
        if self._port is None:
            for record in self.records():
                if record.get("event") == "health_serving":
                    self._port = int(record["port"])
        return self._port

    def get(self, path: str, accept: str = "*/*", timeout: float = 5) -> tuple[int, str]:
        """Status and text of a page of the health server; 0 and an empty text without an answer."""
        url = f"http://127.0.0.1:{self.health_port()}{path}"
        request = urllib.request.Request(url, headers={"Accept": accept})  # our own loopback
        try:
            with _OPENER.open(request, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric with all these `labels`; 0 if there are none."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            series, _, value = line.rpartition(" ")
            given = series.partition("{")
            if given[0] == name and all(f'{key}="{text}"' in given[2] for key, text in labels.items()):
                total += float(value)
        return total

    def records(self) -> list[dict[str, Any]]:
        """The JSON records of its log."""
        return [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]

    def text(self) -> str:
        """Its whole output, without what the log file contained before."""
        with self.log_path.open("rb") as file:
            file.seek(self._start)
            return file.read().decode(errors="replace")

    def tail(self, lines: int = 20) -> str:
        """The last lines of its output."""
        return "\n".join(self.text().splitlines()[-lines:])

    def terminate(self, timeout: float = 60.0) -> int:
        """Send SIGTERM and wait; return the exit status.

        Raises:
            subprocess.TimeoutExpired: It did not end within `timeout` seconds.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def hand_back(self) -> None:
        """Send SIGTERM twice, so that it returns all jobs to the queue instead of waiting for streams."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            time.sleep(_BETWEEN_SIGNALS)
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the worker and its process group, and wait."""
        children.kill(self.process)

    def close(self) -> None:
        """End the worker with SIGTERM, and with SIGKILL after 20 s."""
        children.end(self.process)
        self._log.close()
